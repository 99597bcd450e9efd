// Package mpegtsbridge converts between MPEG transport streams (ISO 13818-1) and
// the media model. It does no I/O: whoever owns the socket or the file gives and
// takes bytes.
//
// # From a transport stream
//
// A [Demuxer] takes bytes in any chunks, finds the program and its elementary
// streams, and turns them into units:
//
//	d := mpegtsbridge.NewDemuxer(mpegtsbridge.DemuxerOptions{
//		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
//			pub, err := run.Publish(ctx, tracks, router.PublishOptions{})
//			if err != nil {
//				return nil, err
//			}
//			return pub.Write, nil
//		},
//	})
//	defer d.Close()
//	for {
//		n, err := conn.Read(buf)
//		...
//		if _, err := d.Write(buf[:n]); err != nil {
//			return err
//		}
//	}
//
// Input that is damaged is dropped and reported, never fatal; memory is bounded
// whatever the input is.
//
// # To a transport stream
//
// A [Muxer] turns units into transport packets, which it appends to a buffer of
// the caller: once for all who read the same tracks.
//
//	m, err := mpegtsbridge.NewMuxer(mpegtsbridge.MuxerOptions{Tracks: stream.Tracks()})
//	...
//	packets, start, err := m.Append(packets[:0], track, unit)
//
// Who joins late begins at the next start: there are the tables, and a key frame.
//
// # Time
//
// Time stamps of a transport stream have 33 bits and run at 90 kHz. They are
// unwrapped, moved to one origin for all tracks (the first time stamp that
// arrives is zero, so that a track that starts a little earlier begins below
// zero), and converted to the clock rate of each codec.
package mpegtsbridge
