// Package mpegaudio reads the headers of frames of MPEG audio: of MPEG-1 (ISO 11172-3), of
// MPEG-2 with its lower sample rates (ISO 13818-3), and of what encoders call MPEG-2.5.
//
// mediacommon takes frames of MPEG-2 layer III for twice as long as they are.
package mpegaudio

import "errors"

// HeaderSize is the size of a header, in bytes.
const HeaderSize = 4

// Header is what the header of a frame tells.
type Header struct {
	Layer        int // 1, 2 or 3
	SampleRate   int // Hz
	ChannelCount int
	SampleCount  int // of each channel
	Size         int // of the frame with its header, bytes
}

// Reasons why something is not a frame.
var (
	errShort   = errors.New("the header of an MPEG audio frame is cut off")
	errSync    = errors.New("an MPEG audio frame does not begin with the sync word")
	errInvalid = errors.New("the header of an MPEG audio frame is not valid")
)

// Values of the field ID, with the bit that MPEG-2.5 took from the sync word.
const (
	versionReserved = 1
	version1        = 3
)

// bitrates are in kbit/s, from the index 1 on: of MPEG-1, then of the others, by layer.
var bitrates = [2][3][14]int{
	{
		{32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
		{32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
		{32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	},
	{
		{32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
		{8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
		{8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	},
}

// sampleRates are those of each version, in Hz.
var sampleRates = [4][3]int{
	0:        {11025, 12000, 8000}, // MPEG-2.5
	2:        {22050, 24000, 16000},
	version1: {44100, 48000, 32000},
}

// Parse reads the header at the beginning of a frame. Frames of free format, which do not
// tell their size, are refused.
func Parse(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, errShort
	}
	if b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return Header{}, errSync
	}
	version, layer := int(b[1]>>3&3), 4-int(b[1]>>1&3)
	rate, freq := int(b[2]>>4), int(b[2]>>2&3)
	if version == versionReserved || layer == 4 || rate == 0 || rate > 14 || freq == 3 {
		return Header{}, errInvalid
	}
	lower := 0
	if version != version1 {
		lower = 1
	}
	h := Header{Layer: layer, SampleRate: sampleRates[version][freq], ChannelCount: 2, SampleCount: 1152}
	slot := 1 // bytes by which frames may be longer
	switch layer {
	case 1:
		h.SampleCount, slot = 384, 4
	case 3:
		h.SampleCount >>= lower
	}
	const single, kilo, bitsPerByte = 3, 1000, 8
	if b[3]>>6 == single {
		h.ChannelCount = 1
	}
	bits := h.SampleCount / slot * bitrates[lower][layer-1][rate-1] * kilo / h.SampleRate
	h.Size = (bits/bitsPerByte + int(b[2]>>1&1)) * slot
	return h, nil
}
