package rtmpbridge

import (
	"fmt"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/org/mtx/protocol/bridge/internal/latm"
	"github.com/org/mtx/protocol/bridge/internal/mpegaudio"
	"github.com/org/mtx/router/media"
)

// encTrack is a track on its way out.
type encTrack struct {
	codec  media.Codec
	fourCC fourCC
	video  bool
	id     uint8
	plain  bool   // without extensions
	sound  byte   // first byte of plain audio, without the format of MP3
	config []byte // nil: not known
	dts    dtsExtractor

	synced  bool // video: decoding has started
	started bool
	last    int64 // time stamp, milliseconds
	scratch [][]byte
}

// newEncTrack returns a track, or why it cannot be carried. id is the number of
// tracks of its kind before it.
func newEncTrack(c media.Codec, id int) (*encTrack, string) {
	if id >= maxIDs {
		return nil, fmt.Sprintf("RTMP has %d tracks of a kind at most", maxIDs)
	}
	t := &encTrack{codec: c, id: uint8(id), video: c.Kind() == media.Video}
	if reason := t.choose(c); reason != "" {
		return nil, reason
	}
	t.dts = newDTSExtractor(c, t.parameterSets)
	t.update(c)
	if t.fourCC == codecAC3 {
		t.config = []byte{} // it has none, but gets a message
	}
	return t, ""
}

// choose finds out how a codec travels.
func (t *encTrack) choose(c media.Codec) string {
	const depth16, stereo = 2, 1
	switch c := c.(type) {
	case *media.AV1:
		t.fourCC = codecAV1
	case *media.VP9:
		t.fourCC = codecVP9
	case *media.H265:
		t.fourCC = codecHEVC
	case *media.H264:
		t.fourCC, t.plain = codecAVC, t.id == 0
	case *media.Opus:
		t.fourCC = codecOpus
		if c.ChannelCount >= len(opusMappings) {
			return fmt.Sprintf("Opus with %d channels has no mapping in RTMP", c.ChannelCount)
		}
	case *media.FLAC:
		t.fourCC = codecFLAC
	case *media.AC3:
		t.fourCC = codecAC3
	case *media.MPEG4Audio:
		// rate and channels are fixed, the configuration tells (FLV, section E.4.2.1)
		t.fourCC, t.plain, t.sound = codecAAC, t.id == 0, soundAAC<<4|3<<2|depth16|stereo
	case *media.MPEG4AudioLATM:
		if latm.Config(c.Config) == nil {
			return "RTMP can carry MPEG-4 audio LATM only if its configuration is known beforehand"
		}
		t.fourCC, t.plain, t.sound = codecAAC, t.id == 0, soundAAC<<4|3<<2|depth16|stereo
	case *media.MPEG1Audio:
		t.fourCC, t.plain = codecMP3, t.id == 0
	case *media.G711:
		return t.choosePCM(c)
	case *media.LPCM:
		return t.chooseLPCM(c)
	default:
		return fmt.Sprintf("RTMP cannot carry %s", c.Name())
	}
	return ""
}

func (t *encTrack) choosePCM(c *media.G711) string {
	switch {
	case t.id != 0:
		return "RTMP can carry G711 as the first audio track only"
	case c.SampleRate != 8000 || c.ChannelCount < 1 || c.ChannelCount > 2:
		return fmt.Sprintf("RTMP can carry G711 with 8000 Hz and 1 or 2 channels only, this one has %d Hz and %d", c.SampleRate, c.ChannelCount)
	}
	t.fourCC, t.sound = codecPCMA, soundPCMA<<4|2
	if c.MULaw {
		t.fourCC, t.sound = codecPCMU, soundPCMU<<4|2
	}
	t.plain = true
	t.sound |= byte(c.ChannelCount - 1)
	return ""
}

var plainRates = []int{5512, 11025, 22050, 44100}

func (t *encTrack) chooseLPCM(c *media.LPCM) string {
	rate := slices.Index(plainRates, c.SampleRate)
	switch {
	case t.id != 0:
		return "RTMP can carry LPCM as the first audio track only"
	case rate < 0 || c.ChannelCount < 1 || c.ChannelCount > 2 || c.BitDepth != 8 && c.BitDepth != 16:
		return fmt.Sprintf("RTMP can carry LPCM with 5512, 11025, 22050 or 44100 Hz, 8 or 16 bits, 1 or 2 channels only, "+
			"this one has %d Hz, %d bits, %d channels", c.SampleRate, c.BitDepth, c.ChannelCount)
	}
	t.fourCC, t.plain = codecLPCM, true
	t.sound = soundLPCMLE<<4 | byte(rate)<<2 | byte(c.BitDepth/16)<<1 | byte(c.ChannelCount-1)
	return ""
}

// update takes new parameters, and tells whether the configuration is another one.
func (t *encTrack) update(c media.Codec) bool {
	t.codec = c
	var config []byte
	switch c := c.(type) {
	case *media.H264:
		config = appendAVCC(nil, c)
	case *media.H265:
		config = appendHVCC(nil, c)
	case *media.AV1:
		config = appendAV1C(nil, c)
	case *media.VP9:
		config = appendVPCC(nil, c)
	case *media.Opus:
		config = appendOpusHead(nil, c)
	case *media.FLAC:
		config = c.StreamInfo
	case *media.MPEG4Audio:
		config, _ = c.Config.Marshal()
	case *media.MPEG4AudioLATM:
		if asc := latm.Config(c.Config); asc != nil {
			config, _ = asc.Marshal()
		}
	}
	if slices.Equal(config, t.config) || config == nil {
		return false
	}
	t.config = config
	return true
}

// parameterSets are those that may not be in the bitstream.
func (t *encTrack) parameterSets() [][]byte {
	var sets [][]byte
	add := func(list ...[]byte) {
		for _, s := range list {
			if len(s) > 0 {
				sets = append(sets, s)
			}
		}
	}
	switch c := t.codec.(type) {
	case *media.H264:
		add(c.SPS, c.PPS)
	case *media.H265:
		add(c.VPS, c.SPS, c.PPS)
	}
	return sets
}

func (t *encTrack) message(ts int64) chunked {
	m := chunked{stream: chunkAudio, typ: TypeAudio, time: uint32(ts)}
	if t.video {
		m.stream, m.typ = chunkVideo, TypeVideo
	}
	return m
}

// hasDelta tells whether messages of the codec have a composition time.
func (t *encTrack) hasDelta() bool { return t.fourCC == codecAVC || t.fourCC == codecHEVC }

// appendHeader appends what precedes the data of a track in a message.
func (t *encTrack) appendHeader(m *chunked, packet byte, key bool, delta int32) {
	frame := byte(frameInter)
	if key {
		frame = frameKey
	}
	config := packet == packetSequenceStart
	switch {
	case t.video && t.plain:
		kind := byte(1)
		if config {
			kind = 0
		}
		m.bytes(frame<<4|videoAVC, kind)
		m.int24(delta)
		return
	case t.plain && t.fourCC == codecAAC && config:
		m.bytes(t.sound, 0)
		return
	case t.plain && t.fourCC == codecAAC:
		m.bytes(t.sound, 1)
		return
	case t.plain && t.fourCC != codecMP3:
		m.bytes(t.sound)
		return
	case t.plain:
		return // MP3: see appendFrame
	}
	first, multi := byte(soundEx<<4), byte(packetAudioMulti)
	if t.video {
		first, multi = 0x80|frame<<4, packetVideoMulti
	}
	if t.id == 0 {
		m.bytes(first | packet)
	} else {
		m.bytes(first|multi, oneTrack<<4|packet)
	}
	m.fourCC(t.fourCC)
	if t.id != 0 {
		m.bytes(t.id)
	}
	if t.video && packet == packetCodedFrames && t.hasDelta() {
		m.int24(delta)
	}
}

// clean leaves out what has no place in an access unit: empty elements,
// delimiters. The result is valid until the next call.
func (t *encTrack) clean(payload [][]byte) [][]byte {
	t.scratch = t.scratch[:0]
	for _, e := range payload {
		if len(e) == 0 {
			continue
		}
		switch t.fourCC {
		case codecAVC:
			if h264.NALUType(e[0]&0x1f) == h264.NALUTypeAccessUnitDelimiter {
				continue
			}
		case codecHEVC:
			if h265.NALUType(e[0]>>1&0x3f) == h265.NALUType_AUD_NUT || len(e) < 2 {
				continue
			}
		case codecAV1:
			if av1.OBUType(e[0]>>3&0x0f) == av1.OBUTypeTemporalDelimiter {
				continue
			}
		}
		t.scratch = append(t.scratch, e)
	}
	return t.scratch
}

// appendPicture appends an access unit in the form of its codec.
func (t *encTrack) appendPicture(m *chunked, au [][]byte) {
	switch t.fourCC {
	case codecAVC, codecHEVC:
		for _, n := range au {
			m.nalu(n)
		}
	case codecAV1:
		m.bytes(byte(av1.OBUTypeTemporalDelimiter)<<3|0x02, 0) // FFmpeg wants it
		for _, obu := range au {
			m.buf = appendOBU(m.buf, obu)
		}
	default:
		for _, p := range au {
			m.write(p)
		}
	}
}

// frames are what is sent of a payload of audio, with what is damaged in it.
func (t *encTrack) frames(payload [][]byte) (out [][]byte, err error) {
	if c, ok := t.codec.(*media.MPEG4AudioLATM); ok {
		return latm.Payload(c.Config, payload)
	}
	return payload, nil
}

// check tells why a frame of audio cannot be sent, and whether that is because it is of
// another codec.
func (t *encTrack) check(frame []byte) (reason string, other bool) {
	if t.fourCC != codecMP3 {
		return "", false
	}
	h, err := mpegaudio.Parse(frame)
	if err != nil {
		return "frame of MPEG-1/2 audio is damaged", false
	}
	if h.Layer != 3 {
		return fmt.Sprintf("RTMP can carry layer 3 of MPEG-1/2 audio only, this is layer %d", h.Layer), true
	}
	return "", false
}

// appendFrame appends a frame of audio in the form of its codec.
func (t *encTrack) appendFrame(m *chunked, frame []byte) {
	switch {
	case t.fourCC == codecLPCM && t.codec.(*media.LPCM).BitDepth == 16: // made from it
		m.buf = swapBytes(m.buf, frame)
	case t.fourCC == codecLPCM:
		m.buf = flipSign(m.buf, frame)
	case t.fourCC == codecMP3 && t.plain:
		m.bytes(soundOfMP3(frame))
		m.write(frame)
	default:
		m.write(frame)
	}
}

// soundOfMP3 is the first byte of a message with MP3. Rates that RTMP does not
// have are called 44100: decoders believe the frame.
func soundOfMP3(frame []byte) byte {
	const depth16 = 2
	rate, stereo := len(plainRates)-1, byte(1)
	if h, err := mpegaudio.Parse(frame); err == nil {
		if i := slices.Index(plainRates, h.SampleRate); i >= 0 {
			rate = i
		}
		stereo = byte(h.ChannelCount - 1)
	}
	return soundMP3<<4 | byte(rate)<<2 | depth16 | stereo
}
