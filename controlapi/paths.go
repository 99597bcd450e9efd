package controlapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// Path is a live path.
type Path struct {
	Name          string     `json:"name"`
	ConfName      string     `json:"confName"`
	Source        *PathPeer  `json:"source"`
	Ready         bool       `json:"ready"` // older name of Available
	ReadyTime     *time.Time `json:"readyTime"`
	Available     bool       `json:"available"`
	AvailableTime *time.Time `json:"availableTime"`
	Online        bool       `json:"online"`
	OnlineTime    *time.Time `json:"onlineTime"`
	Tracks        []string   `json:"tracks"` // codecs
	Tracks2       []Track    `json:"tracks2"`

	InboundBytes         uint64 `json:"inboundBytes"`
	OutboundBytes        uint64 `json:"outboundBytes"`
	InboundFramesInError uint64 `json:"inboundFramesInError"`
	BytesReceived        uint64 `json:"bytesReceived"` // older name of InboundBytes
	BytesSent            uint64 `json:"bytesSent"`     // older name of OutboundBytes

	Readers []PathPeer `json:"readers"`
}

// PathPeer is a source or a reader of a path.
type PathPeer struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// Track is a track of a stream.
type Track struct {
	Codec      string `json:"codec"`
	CodecProps any    `json:"codecProps"` // null if nothing is known
}

func pathOf(i *router.PathInfo) Path {
	p := Path{
		Name: i.Name, ConfName: i.ConfigName, Ready: i.Ready, Available: i.Ready, Online: i.Online,
		Tracks: []string{}, Tracks2: []Track{}, Readers: []PathPeer{},
		InboundBytes: i.In, OutboundBytes: i.Out, InboundFramesInError: i.InErrors, BytesReceived: i.In, BytesSent: i.Out,
	}
	if i.Source != nil {
		p.Source = &PathPeer{i.Source.Type, i.Source.ID}
	}
	if i.Ready {
		t := i.ReadyTime
		p.ReadyTime, p.AvailableTime = &t, &t
	}
	if i.Online {
		t := i.OnlineTime
		p.OnlineTime = &t
	}
	for _, t := range i.Tracks {
		props := media.Props(t.Codec)
		if isNil(props) {
			props = nil
		}
		p.Tracks = append(p.Tracks, t.Codec.Name())
		p.Tracks2 = append(p.Tracks2, Track{t.Codec.Name(), props})
	}
	for _, r := range i.Readers {
		p.Readers = append(p.Readers, PathPeer{r.Type, r.ID})
	}
	return p
}

func (a *api) listPaths(w http.ResponseWriter, r *http.Request) {
	paths := []Path{}
	for i := range a.router.Paths() {
		paths = append(paths, pathOf(&i))
	}
	writePage(w, r, paths)
}

func (a *api) getPath(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "*")
	if err := router.ValidatePathName(name); err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	p, ok := a.router.Path(name)
	if !ok {
		writeError(w, http.StatusNotFound, errors.New("path not found"))
		return
	}
	i := p.Info()
	writeJSON(w, pathOf(&i))
}
