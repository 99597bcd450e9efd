package router

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/org/mtx/router/media"
)

// TracksError refuses a publisher whose tracks cannot continue the stream of the
// path: readers are connected to others.
type TracksError struct {
	Have []media.Track // of the publisher
	Want []media.Track // of the stream
}

// Error implements error.
func (e *TracksError) Error() string {
	return fmt.Sprintf("the tracks of the publisher (%s) do not fit those of the path (%s)",
		describeTracks(e.Have), describeTracks(e.Want))
}

func describeTracks(tracks []media.Track) string {
	names := make([]string, len(tracks))
	for i, t := range tracks {
		names[i] = t.Codec.Name()
		if t.Codec.Kind() == media.Audio {
			names[i] += fmt.Sprintf(" %d Hz", t.Codec.ClockRate())
			if n := channels(t.Codec); n > 0 {
				names[i] += fmt.Sprintf(" %d ch", n)
			}
		}
		if g, ok := t.Codec.(*media.G711); ok && g.MULaw {
			names[i] += " mu-law"
		}
	}
	return strings.Join(names, ", ")
}

// channels returns the number of channels that a codec states, 0 if it states none.
func channels(c media.Codec) int {
	v := reflect.Indirect(reflect.ValueOf(c)).FieldByName("ChannelCount")
	if v.IsValid() {
		return int(v.Int())
	}
	if p, ok := media.Props(c).(*media.MPEG4AudioProps); ok && p != nil {
		return p.ChannelCount
	}
	return 0
}

// fit finds, for each track of a publisher, the track of a stream that it can
// continue: the order may differ, the number may not.
func fit(stream, tracks []media.Track) ([]int, bool) {
	if len(stream) != len(tracks) {
		return nil, false
	}
	taken := make([]bool, len(stream))
	to := make([]int, len(tracks))
	for i, t := range tracks {
		to[i] = -1
		for j, s := range stream {
			if !taken[j] && continues(s, t) {
				taken[j], to[i] = true, j
				break
			}
		}
		if to[i] < 0 {
			return nil, false
		}
	}
	return to, true
}

// continues tells whether readers of a can go on with b without being told: what
// they were told once, outside of the stream, is the same.
func continues(a, b media.Track) bool {
	if !media.Compatible([]media.Track{a}, []media.Track{b}) {
		return false
	}
	switch ca := a.Codec.(type) {
	case *media.MPEG4Audio:
		x, y := ca.Config, b.Codec.(*media.MPEG4Audio).Config
		return x != nil && y != nil && x.Type == y.Type && x.ExtensionType == y.ExtensionType &&
			x.FrameLengthFlag == y.FrameLengthFlag
	case *media.Vorbis, *media.FLAC, *media.MPEG4AudioLATM, *media.Generic:
		return media.Equal(a.Codec, b.Codec)
	}
	return true
}
