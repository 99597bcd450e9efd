package config

import (
	"time"

	"github.com/org/mtx/playback"
	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/record"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/hook"
)

// Shared is what outlives a configuration: parts of the one that comes next go on
// with it.
type Shared struct {
	// Recording knows the files that are being written.
	Recording *record.State

	// Processes are those of commands. Optional.
	Processes *hook.Processes
}

// buildRecorder returns the sink of a path that is recorded.
func buildRecorder(p *Path, s Shared) record.Sink {
	return record.Sink{
		Pattern:         p.RecordPath,
		Format:          record.Format(p.RecordFormat),
		PartDuration:    time.Duration(p.RecordPartDuration),
		MaxPartSize:     int64(p.RecordMaxPartSize),
		SegmentDuration: time.Duration(p.RecordSegmentDuration),
		MinFreeSpace:    int64(p.RecordMinFreeSpace),
		State:           s.Recording,
	}
}

// buildCleaner returns what deletes old recordings, or nil if nothing is
// recorded: it never touches files of paths that do not record.
func (d *Document) buildCleaner(s Shared) router.Protocol {
	c := &record.Cleaner{MaxSize: int64(d.RecordMaxTotalSize), State: s.Recording}
	for _, name := range d.pathNames() {
		p := d.Paths[name]
		if !p.Record {
			continue
		}
		c.Policies = append(c.Policies, record.Policy{
			Path: name, Pattern: p.RecordPath, DeleteAfter: time.Duration(p.RecordDeleteAfter),
			MaxSize: int64(p.RecordMaxSize), MinFreeSpace: int64(p.RecordMinFreeSpace),
		})
	}
	if c.Policies == nil {
		return nil
	}
	return c
}

// recordings tells where the recordings of paths are, also of those that do not
// record at present.
func (d *Document) recordings() []playback.Recording {
	var out []playback.Recording
	for _, name := range d.pathNames() {
		p := d.Paths[name]
		if pattern, err := record.ParsePattern(p.RecordPath, record.Format(p.RecordFormat)); err == nil {
			out = append(out, playback.Recording{Name: name, Pattern: pattern})
		}
	}
	return out
}

// Archive is what was recorded, for the Control API.
func (d *Document) Archive() *playback.Archive {
	return &playback.Archive{Recordings: d.recordings()}
}

func (d *Document) buildPlayback() *playback.Server {
	return &playback.Server{
		HTTP: d.listen(httpKeys{
			d.PlaybackAddress, d.PlaybackEncryption, d.PlaybackServerCert, d.PlaybackServerKey, d.PlaybackAllowOrigins,
			d.PlaybackTrustedProxies,
		}),
		Recordings: d.recordings(),
		Script:     hls.Script(),
		QueryToken: d.AuthJWTInHTTPQuery,
	}
}
