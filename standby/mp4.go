package standby

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/org/mtx/router/media"
)

const (
	// maxFile is the largest file that is accepted: all of it is kept in memory.
	maxFile = 64 << 20

	maxTracks  = 16
	maxSamples = 1 << 17
	maxBoxes   = 1 << 16
)

// Open makes a segment of an MP4 file, plain or fragmented, of at most 64 MiB.
// Codecs are AV1, VP9, H265, H264, Opus, MPEG-4 audio, MPEG-1 audio and AC-3;
// each track of video begins with a key frame. Tracks that are neither video nor
// audio are left out.
func Open(name string) (*Segment, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	switch {
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", name)
	case st.Size() > maxFile:
		return nil, fmt.Errorf("%s has %d bytes; at most %d are accepted", name, st.Size(), maxFile)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	s, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// firstBoxes are what MP4 files begin with.
var firstBoxes = []string{"ftyp", "styp", "moov", "mdat", "free", "skip", "wide"}

// parse reads an MP4 file.
func parse(data []byte) (*Segment, error) {
	if len(data) < 8 || !slices.Contains(firstBoxes, string(data[4:8])) {
		return nil, errors.New("this is not an MP4 file")
	}
	top, err := boxes(data, 0)
	if err != nil {
		return nil, err
	}
	var moov *box
	for i := range top {
		if top[i].typ == "moov" {
			moov = &top[i]
			break
		}
	}
	if moov == nil {
		return nil, missingError("moov")
	}
	list, err := moov.children()
	if err != nil {
		return nil, err
	}
	s := &Segment{key: fmt.Sprintf("%x", sha256.Sum256(data))}
	n, total := 0, 0
	for _, b := range list {
		if b.typ != "trak" {
			continue
		}
		if n++; n > maxTracks {
			return nil, fmt.Errorf("there are more than %d tracks", maxTracks)
		}
		t, end, err := loadTrack(data, top, moov, b)
		if err != nil {
			return nil, fmt.Errorf("track %d: %w", n, err)
		}
		if t == nil {
			continue
		}
		if total += len(t.samples); total > maxSamples {
			return nil, fmt.Errorf("there are more than %d frames", maxSamples)
		}
		s.tracks = append(s.tracks, t)
		s.period = max(s.period, end)
	}
	if len(s.tracks) == 0 {
		return nil, errors.New("there is no track of video or audio")
	}
	return s, nil
}

// loadTrack returns a track and its duration; nil if it is neither video nor audio.
func loadTrack(data []byte, top []box, moov *box, trak box) (*track, time.Duration, error) {
	hdlr, err := trak.child("mdia", "hdlr")
	if err != nil {
		return nil, 0, err
	}
	if len(hdlr.body) < 12 {
		return nil, 0, errTruncated
	}
	if kind := string(hdlr.body[8:12]); kind != "vide" && kind != "soun" {
		return nil, 0, nil
	}
	head, err := readHead(moov, trak)
	if err != nil {
		return nil, 0, err
	}
	codec, unpack, err := convertCodec(head.Codec)
	if err != nil {
		return nil, 0, err
	}
	t := &track{codec: codec}
	fail := func(err error) (*track, time.Duration, error) {
		return nil, 0, fmt.Errorf("%s: %w", codec.Name(), err)
	}
	frames, err := plainFrames(trak)
	if err == nil && len(frames) == 0 {
		frames, err = fragmentFrames(top, moov, head.ID)
	}
	switch {
	case err != nil:
		return fail(err)
	case len(frames) == 0:
		return fail(errors.New("there are no frames"))
	}
	end, err := t.load(data, frames, int64(head.TimeScale), unpack)
	if err != nil {
		return fail(err)
	}
	return t, end, nil
}

// readHead reads the codec of a track. The track is presented alone and without
// what is not needed, since files hold all kinds of boxes.
func readHead(moov *box, trak box) (*fmp4.InitTrack, error) {
	mvhd, err := moov.child("mvhd")
	if err != nil {
		return nil, err
	}
	tkhd, err := trak.child("tkhd")
	if err != nil {
		return nil, err
	}
	mdhd, err := trak.child("mdia", "mdhd")
	if err != nil {
		return nil, err
	}
	stsd, err := trak.child("mdia", "minf", "stbl", "stsd")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Write(wrap("ftyp", []byte("isom\x00\x00\x00\x01isom")))
	b.Write(wrap("moov", mvhd.raw, wrap("trak", tkhd.raw, wrap("mdia", mdhd.raw, wrap("minf", wrap("stbl", stsd.raw)))),
		wrap("free"))) // which tells that the codec is complete
	var init fmp4.Init
	if err := init.Unmarshal(bytes.NewReader(b.Bytes())); err != nil {
		return nil, fmt.Errorf("the codec cannot be read: %w", err)
	}
	if len(init.Tracks) != 1 || init.Tracks[0].Codec == nil {
		return nil, errors.New("the codec is not known")
	}
	return init.Tracks[0], nil
}

// wrap makes a box.
func wrap(typ string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	n := len(body) + 8
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), typ[0], typ[1], typ[2], typ[3]}, body...)
}

// load turns frames into samples.
func (t *track) load(data []byte, frames []frame, scale int64, unpack unpackFunc) (time.Duration, error) {
	rate := t.codec.ClockRate()
	ticks := func(v int64) int64 { return v/scale*int64(rate) + v%scale*int64(rate)/scale }
	if rate <= 0 || scale <= 0 {
		return 0, errors.New("the sample rate is missing")
	}
	var dts int64
	var size uint64
	early := frames[0].shift
	for _, f := range frames {
		early = min(early, dts+f.shift)
		dts += f.duration
		size += f.size
		switch {
		case dts > scale*24*3600:
			return 0, errors.New("it is longer than a day")
		case size > uint64(len(data)):
			return 0, errors.New("its frames are larger than the file")
		}
	}
	dts = 0
	for i, f := range frames {
		if f.size == 0 || f.pos > uint64(len(data)) || f.size > uint64(len(data))-f.pos {
			return 0, fmt.Errorf("frame %d is outside of the file", i+1)
		}
		payload, err := unpack(data[f.pos : f.pos+f.size])
		if err == nil && len(payload) == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return 0, fmt.Errorf("frame %d: %w", i+1, err)
		}
		codec, key := media.Scan(t.codec, payload)
		if i == 0 && !key {
			return 0, errors.New("the first picture is not a key frame")
		}
		t.codec = codec
		if key {
			payload = withParameterSets(codec, payload)
		}
		t.samples = append(t.samples, sample{ticks(dts), ticks(dts + f.shift - early), payload})
		dts += f.duration
	}
	if dts <= 0 {
		return 0, errors.New("its duration is zero")
	}
	return media.Duration(dts, int(scale)), nil
}

// convertCodec returns the codec, and what turns frames into payloads.
func convertCodec(c codecs.Codec) (media.Codec, unpackFunc, error) {
	switch c := c.(type) {
	case *codecs.H264:
		return &media.H264{SPS: c.SPS, PPS: c.PPS}, unpackH264, nil
	case *codecs.H265:
		return &media.H265{VPS: c.VPS, SPS: c.SPS, PPS: c.PPS}, unpackH264, nil
	case *codecs.AV1:
		return &media.AV1{SequenceHeader: c.SequenceHeader}, unpackAV1, nil
	case *codecs.VP9:
		return &media.VP9{}, unpackWhole, nil
	case *codecs.Opus:
		return &media.Opus{ChannelCount: c.ChannelCount}, unpackWhole, nil
	case *codecs.MPEG4Audio:
		conf := c.Config
		return &media.MPEG4Audio{Config: &conf}, unpackWhole, nil
	case *codecs.MPEG1Audio:
		return &media.MPEG1Audio{}, unpackWhole, nil
	case *codecs.AC3:
		return &media.AC3{SampleRate: c.SampleRate, ChannelCount: c.ChannelCount}, unpackWhole, nil
	}
	return nil, nil, fmt.Errorf("codec %T cannot be used; accepted are AV1, VP9, H265, H264, Opus, MPEG-4 audio, MPEG-1 audio and AC-3", c)
}
