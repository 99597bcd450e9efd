// Package rtmpbridge converts between the messages of RTMP and the media model:
// plain RTMP (FLV tags, as in Adobe's specification of FLV 10.1, annex E) and
// enhanced RTMP v2 (codecs by FourCC, several tracks). It does no I/O.
//
// # From RTMP
//
// A [Decoder] takes audio, video and data messages, finds out which tracks there
// are, and turns them into units:
//
//	d := rtmpbridge.NewDecoder(rtmpbridge.DecoderOptions{
//		Tracks: func(tracks []media.Track) (func(int, *media.Unit), error) {
//			pub, err := run.Publish(ctx, tracks, router.PublishOptions{})
//			if err != nil {
//				return nil, err
//			}
//			return pub.Write, nil
//		},
//	})
//	for {
//		msg, err := conn.Read()
//		...
//		if err := d.Write(msg.Type, msg.Timestamp, msg.Body); err != nil {
//			return err
//		}
//	}
//
// RTMP does not say in advance which tracks a stream has. The metadata of most
// encoders does, otherwise the first two seconds are looked at.
//
// # To RTMP
//
// An [Encoder] turns units into the bytes of whole messages, cut into chunks.
// They do not depend on what was sent before, so that all readers of a stream can
// share them; what each reader needs first is the [Encoder.AppendHead].
//
// # Time
//
// Time stamps of RTMP are milliseconds in 32 bits. Coming in, they are unwrapped
// and moved so that the first one is zero, and those of audio are made as precise
// as its frames are. Going out, the first one is zero, and those of a track never
// decrease; B-frames keep their order, by the time stamps that mediacommon
// extracts.
package rtmpbridge
