package mpegtsbridge

import (
	"errors"
	"fmt"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/org/mtx/protocol/bridge/internal/latm"
	"github.com/org/mtx/protocol/bridge/internal/mpegaudio"
)

// frameInfo is what the header of an audio frame tells.
type frameInfo struct {
	size     int   // bytes, with the header
	duration int64 // ticks of 90 kHz
}

// frames cuts an elementary stream of audio into frames. They need not be
// aligned with the packets of the stream: the time stamp of a packet is that of
// the first frame that starts in it (ISO 13818-1 section 2.4.3.7).
type frames struct {
	header int                                    // bytes that parse needs
	parse  func(header []byte) (frameInfo, error) // of a frame
	emit   func(pts int64, frames [][]byte)
	damage func(error)

	tail []byte // beginning of a frame, from the last packet
	next int64  // time stamp of tail
}

func (f *frames) push(p pesPacket) {
	data := p.data
	if len(f.tail) > 0 {
		data = f.finish(data, p.hasPTS)
		if len(f.tail) > 0 {
			return // it goes on in the next packet
		}
	}
	if !p.hasPTS {
		p.pts = f.next
	}
	var out [][]byte
	f.next = p.pts
	for len(data) > 0 {
		if len(data) < f.header {
			break
		}
		info, err := f.parse(data)
		if err != nil || info.size < f.header {
			f.damage(fmt.Errorf("invalid audio frame: %w", errors.Join(err)))
			data = nil
			break
		}
		if info.size > len(data) {
			break
		}
		out = append(out, data[:info.size:info.size])
		data = data[info.size:]
		f.next += info.duration
	}
	f.tail = data
	if out != nil {
		f.emit(p.pts, out)
	}
}

// finish completes the frame that began in an earlier packet, delivers it, and
// returns the rest of the data. begins tells that another frame begins in the
// data; otherwise all of it may be part of this one.
func (f *frames) finish(data []byte, begins bool) []byte {
	tail := f.tail
	f.tail = nil
	missing := max(0, f.header-len(tail))
	if len(data) < missing {
		return f.goOn(tail, data, begins, errCut)
	}
	whole := append(append([]byte(nil), tail...), data[:missing]...)
	info, err := f.parse(whole)
	rest := info.size - len(tail)
	if err == nil && rest > len(data) {
		return f.goOn(tail, data, begins, fmt.Errorf("invalid audio frame: %w", errCut))
	}
	if err != nil || info.size < f.header || rest < 0 {
		f.damage(fmt.Errorf("invalid audio frame: %w", errors.Join(errCut, err)))
		return data
	}
	f.emit(f.next, [][]byte{append(tail[:len(tail):len(tail)], data[:rest]...)})
	f.next += info.duration
	return data[rest:]
}

// goOn keeps a frame that is not complete yet, unless its end was lost.
func (f *frames) goOn(tail, data []byte, begins bool, lost error) []byte {
	if begins {
		f.damage(lost)
		return data
	}
	f.tail = slices.Concat(tail, data)
	return nil
}

// adtsInfo reads an ADTS header, ISO 14496-3 table 1.A.5.
func adtsInfo(b []byte) (frameInfo, error) {
	if b[0] != 0xff || b[1]&0xf6 != 0xf0 {
		return frameInfo{}, errors.New("ADTS sync word not found")
	}
	rate := adtsRate(b)
	if rate == 0 {
		return frameInfo{}, errors.New("invalid ADTS sample rate")
	}
	size := int(b[3]&0x03)<<11 | int(b[4])<<3 | int(b[5]>>5)
	// a frame holds one access unit or more
	return frameInfo{size, int64(b[6]&0x03+1) * mpeg4audio.SamplesPerAccessUnit * 90000 / int64(rate)}, nil
}

// adtsRate returns the sample rate, in Hz, or zero.
func adtsRate(b []byte) int {
	rates := [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	if i := int(b[2] >> 2 & 0x0f); i < len(rates) {
		return rates[i]
	}
	return 0
}

// adtsPayload returns the access unit of an ADTS frame and its configuration.
func adtsPayload(frame []byte) ([]byte, *mpeg4audio.AudioSpecificConfig, error) {
	if frame[1]&0x01 == 0 { // with a checksum
		if len(frame) < 9 {
			return nil, nil, errCut
		}
		plain := append([]byte(nil), frame[:7]...)
		plain = append(plain, frame[9:]...)
		plain[1] |= 0x01
		size := len(plain)
		plain[3] = plain[3]&^0x03 | byte(size>>11)
		plain[4] = byte(size >> 3)
		plain[5] = plain[5]&0x1f | byte(size<<5)
		frame = plain
	}
	var pkts mpeg4audio.ADTSPackets
	if err := pkts.Unmarshal(frame); err != nil {
		return nil, nil, err
	}
	p := pkts[0]
	return p.AU, &mpeg4audio.AudioSpecificConfig{
		Type: p.Type, SampleRate: p.SampleRate, ChannelConfig: p.ChannelConfig,
		ChannelCount: p.ChannelCount, //nolint:staticcheck // older readers look at it
	}, nil
}

func mpeg1AudioInfo(b []byte) (frameInfo, error) {
	h, err := mpegaudio.Parse(b)
	if err != nil {
		return frameInfo{}, err
	}
	return frameInfo{h.Size, int64(h.SampleCount) * 90000 / int64(h.SampleRate)}, nil
}

// ac3Info reads a frame header. A frame has 1536 samples.
func ac3Info(b []byte) (frameInfo, error) {
	var i ac3.SyncInfo
	if err := i.Unmarshal(b); err != nil {
		return frameInfo{}, err
	}
	return frameInfo{i.FrameSize(), 1536 * 90000 / int64(i.SampleRate())}, nil
}

// latmHeader is the size of the header of an AudioSyncStream, bytes.
const latmHeader = 3

// latmInfo reads the header of an AudioSyncStream, ISO 14496-3 table 1.36.
// Durations are not known before the configuration is.
func (s *stream) latmInfo(b []byte) (frameInfo, error) {
	if b[0] != 0x56 || b[1]&0xe0 != 0xe0 {
		return frameInfo{}, errors.New("LATM sync word not found")
	}
	info := frameInfo{size: latmHeader + int(b[1]&0x1f)<<8 + int(b[2])}
	if c := latm.Config(s.mux); c != nil {
		info.duration = int64(s.mux.NumSubFrames+1) * mpeg4audio.SamplesPerAccessUnit * 90000 / int64(c.SampleRate)
	}
	return info, nil
}
