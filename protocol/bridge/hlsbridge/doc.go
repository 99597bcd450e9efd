// Package hlsbridge converts between the media model and gohlslib, both ways.
// It does no I/O.
//
// # To HLS
//
// [NewLayout] decides which tracks of a stream a variant of HLS can carry, and
// how they are spread over muxers; gohlslib has one video track per muxer, so
// further ones get muxers of their own:
//
//	l := hlsbridge.NewLayout(stream.Tracks(), hlsbridge.LowLatency)
//	for _, tracks := range l.Muxers {
//		m := &gohlslib.Muxer{Tracks: hlsbridge.Tracks(tracks), ...}
//	}
//	...
//	err := track.Write(m, unit, origin)
//
// # From HLS
//
// [FromTrack] and [OnData] do the opposite for a gohlslib.Client.
package hlsbridge
