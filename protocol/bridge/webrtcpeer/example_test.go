package webrtcpeer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/org/mtx/protocol/bridge/webrtcpeer"
	"github.com/org/mtx/router/media"
)

// A client publishes a track by WHIP. Here the server is in the same program; over
// HTTP the offer is the body of a POST, and the answer that of the response.
func Example() {
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	engine, err := webrtcpeer.NewEngine(webrtcpeer.EngineConfig{Log: log})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()

	send, offer, err := engine.OfferSend(ctx, webrtcpeer.SendOptions{
		Tracks: []media.Track{{Codec: &media.VP8{}}, {Codec: &media.FLAC{SampleRate: 48000, ChannelCount: 2}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, reason := range send.Skipped() {
		fmt.Println(reason)
	}

	recv, answer, err := engine.Answer(ctx, offer, webrtcpeer.ReceiveOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := send.SetAnswer(answer); err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range send.Outputs() {
		fmt.Println(o.Codec.Name(), "has payload type", o.PayloadType)
	}
	if err := send.Connected(ctx); err != nil {
		fmt.Println(err)
		return
	}
	send.Close()
	<-recv.Done()
	fmt.Println(errors.Is(recv.Err(), webrtcpeer.ErrRemoteClosed))
	// Output:
	// track 2: FLAC cannot be sent over WebRTC; AV1, VP9, VP8, H265, H264, Opus, G722, G711, LPCM, KLV can
	// VP8 has payload type 96
	// true
}
