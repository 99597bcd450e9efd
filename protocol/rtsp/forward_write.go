package rtsp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
	"github.com/pion/rtp"

	"github.com/org/mtx/protocol/bridge/rtpbridge"
	"github.com/org/mtx/protocol/bridge/rtspclient"
	"github.com/org/mtx/router"
	"github.com/org/mtx/router/media"
)

// forwarding is one attempt to publish a stream on another server.
type forwarding struct {
	client  *rtspclient.Client
	run     *router.SinkRun
	tracks  []forwardTrack // by track of the stream
	indexes []int          // of the tracks that are sent

	packets rtpbridge.Packets // reused
	packet  rtp.Packet        // reused
	dropped uint64            // units, as last reported
	warned  time.Time
}

type forwardTrack struct {
	ref        rtpbridge.Ref
	codec      media.Codec // that the packetizer knows
	packetizer *rtpbridge.Packetizer
}

// work sends the stream until it ends, or until the connection does. ctx is that
// of the client.
func (w *forwarding) work(ctx context.Context, cancel context.CancelFunc) error {
	// a stream that ends has nobody to connect for
	stop := cancelWhen(w.run.Stream.Done(), cancel)
	err := w.connect()
	stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	w.run.Log.Info("publishing", "url", rtspclient.Address(w.client.URL), "tracks", len(w.indexes))
	defer cancelWhen(w.client.Done(), cancel)()
	return w.copy(ctx)
}

// cancelWhen calls cancel when done is closed, until stop is called.
func cancelWhen(done <-chan struct{}, cancel func()) (stop func()) {
	var task sync.WaitGroup
	quit := make(chan struct{})
	task.Go(func() {
		select {
		case <-done:
			cancel()
		case <-quit:
		}
	})
	return func() {
		close(quit)
		task.Wait()
	}
}

// connect announces the stream and asks to send it.
func (w *forwarding) connect() error {
	s := w.run.Stream
	tracks := s.Tracks()
	origins := make([]media.Depacketizer, len(tracks))
	for i := range origins {
		origins[i] = s.Depacketizer(i)
	}
	desc, refs, err := rtpbridge.Description(tracks, origins)
	if err != nil {
		return err
	}
	w.tracks = make([]forwardTrack, len(tracks))
	for i, ref := range refs {
		if ref.Format == nil {
			w.run.Log.Warn("track is left out: RTSP cannot carry it", "track", i+1, "codec", tracks[i].Codec.Name())
			continue
		}
		p, err := rtpbridge.NewPacketizer(rtpbridge.PacketizerOptions{
			Track: tracks[i], Format: ref.Format, Origin: origins[i], MaxSize: forwardPlainSize,
		})
		if err != nil {
			return fmt.Errorf("track %d: %w", i+1, err)
		}
		w.tracks[i] = forwardTrack{ref, tracks[i].Codec, p}
		w.indexes = append(w.indexes, i)
	}
	c := w.client
	if _, err := c.Announce(c.URL, desc); err != nil {
		return err
	}
	if err := c.SetupAll(c.URL, desc.Medias); err != nil {
		return err
	}
	_, err = c.Record()
	return err
}

func (w *forwarding) copy(ctx context.Context) error {
	sub, err := w.run.Stream.Subscribe(router.SubscribeOptions{RTP: true, Tracks: w.indexes})
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		track, u, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		if err := w.unit(ctx, track, u); err != nil {
			return err
		}
		w.reportDropped(sub.Dropped())
	}
}

func (w *forwarding) unit(ctx context.Context, track int, u *media.Unit) error {
	t := &w.tracks[track]
	if c := w.run.Stream.Tracks()[track].Codec; c != t.codec {
		t.codec = c
		t.packetizer.SetCodec(c)
	}
	w.packets.Reset()
	if err := t.packetizer.Append(&w.packets, u); err != nil {
		w.run.Log.Debug("unit cannot be sent", "track", track+1, "error", err)
	}
	data := w.packets.Data
	for _, n := range w.packets.Sizes {
		w.packet = rtp.Packet{}
		if err := w.packet.Unmarshal(data[:n]); err != nil {
			return fmt.Errorf("track %d: %w", track+1, err)
		}
		data = data[n:]
		if err := w.write(ctx, t, u.NTP); err != nil {
			return err
		}
	}
	return nil
}

// queuePause is how long to wait for room in the queue of the client.
const queuePause = 5 * time.Millisecond

// write gives the packet to the client. As long as its queue is full it waits, so
// that it is the subscription that drops: whole units, up to a key frame.
func (w *forwarding) write(ctx context.Context, t *forwardTrack, ntp time.Time) error {
	for {
		err := w.client.WritePacketRTPWithNTP(t.ref.Media, &w.packet, ntp)
		var full liberrors.ErrClientWriteQueueFull
		if !errors.As(err, &full) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(queuePause):
		}
	}
}

// reportDropped warns now and then.
func (w *forwarding) reportDropped(n uint64) {
	if n == w.dropped || time.Since(w.warned) < 5*time.Second {
		return
	}
	w.run.Log.Warn("the other server is too slow: units are dropped", "units", n-w.dropped)
	w.dropped, w.warned = n, time.Now()
}
