package webrtcpeer

import (
	"fmt"

	"github.com/pion/webrtc/v4"
)

// allVideo and allAudio are the codecs that we offer to receive. The payload
// types are those of browsers as far as there are any.
func allVideo() []offered {
	type entry struct {
		pt         uint8
		rtx        uint8 // 0: none
		name, fmtp string
	}
	h264 := func(profile string, mode int) string {
		return fmt.Sprintf("level-asymmetry-allowed=1;packetization-mode=%d;profile-level-id=%s", mode, profile)
	}
	var list []offered
	for _, e := range []entry{
		{45, 46, "AV1", "level-idx=19;profile=0;tier=0"},
		{98, 99, "VP9", "profile-id=0"},
		{100, 101, "VP9", "profile-id=2"},
		{35, 36, "VP9", "profile-id=1"},
		{37, 38, "VP9", "profile-id=3"},
		{96, 97, "VP8", ""},
		{49, 50, "H265", "level-id=186;profile-id=1;tier-flag=0;tx-mode=SRST"},
		{51, 52, "H265", "level-id=186;profile-id=2;tier-flag=0;tx-mode=SRST"},
		{102, 103, "H264", h264("42001f", 1)},
		{104, 105, "H264", h264("42001f", 0)},
		{106, 107, "H264", h264("42e01f", 1)},
		{108, 109, "H264", h264("42e01f", 0)},
		{127, 125, "H264", h264("4d001f", 1)},
		{39, 40, "H264", h264("4d001f", 0)},
		{112, 113, "H264", h264("64001f", 1)},
		{53, 54, "H264", h264("64001f", 0)},
		{55, 56, "H264", h264("f4001f", 1)},
	} {
		list = append(list, offered{
			kind: webrtc.RTPCodecTypeVideo, pt: e.pt, name: e.name, clock: 90000, fmtp: e.fmtp,
			feedback: receiveFeedback,
		}, offered{
			kind: webrtc.RTPCodecTypeVideo, pt: e.rtx, name: "rtx", clock: 90000,
			fmtp: fmt.Sprintf("apt=%d", e.pt),
		})
	}
	return list
}

// opusMapping are the streams of multichannel Opus: RFC 7845 section 5.1.1.2, in
// the order of libopus.
var opusMapping = map[int]string{
	3: "channel_mapping=0,2,1;coupled_streams=1;num_streams=2",
	4: "channel_mapping=0,1,2,3;coupled_streams=2;num_streams=2",
	5: "channel_mapping=0,4,1,2,3;coupled_streams=2;num_streams=3",
	6: "channel_mapping=0,4,1,2,3,5;coupled_streams=2;num_streams=4",
	7: "channel_mapping=0,4,1,2,3,5,6;coupled_streams=3;num_streams=4",
	8: "channel_mapping=0,6,1,2,3,4,5,7;coupled_streams=3;num_streams=5",
}

const opusFmtp = "minptime=10;stereo=1;useinbandfec=1"

func allAudio() []offered {
	var list []offered
	add := func(pt uint8, name string, clock, channels int, fmtp string) {
		list = append(list, offered{
			kind: webrtc.RTPCodecTypeAudio, pt: pt, name: name, clock: clock, channels: channels, fmtp: fmtp,
			feedback: []string{"nack", "transport-cc"},
		})
	}
	add(111, "opus", 48000, 2, opusFmtp)
	for channels := 3; channels <= 8; channels++ {
		add(uint8(111+channels), "multiopus", 48000, channels, opusMapping[channels]) // 114 to 119
	}
	add(9, "G722", 8000, 1, "")
	add(0, "PCMU", 8000, 1, "")
	add(8, "PCMA", 8000, 1, "")
	add(120, "L16", 48000, 2, "")
	add(121, "L16", 48000, 1, "")
	add(122, "L16", 44100, 2, "")
	add(123, "L16", 44100, 1, "")
	add(124, "L16", 16000, 1, "")
	add(126, "L16", 8000, 1, "")
	return list
}
