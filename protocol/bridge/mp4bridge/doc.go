// Package mp4bridge turns units into samples of MP4 (ISO 14496-12), for recorders and
// for servers of recordings: which codecs MP4 carries, how they are described in
// "stsd", how samples are framed, when pictures are decoded that are not in the
// order in which they are shown, and how long packets of audio last.
//
//	k, err := mp4bridge.New(track.Codec)
//	...
//	for _, s := range k.Convert(nil, unit, track.Codec) {
//		data = k.Append(data, s.Data)
//	}
//	header, err := mp4bridge.MarshalInit([]*fmp4.InitTrack{{ID: 1, TimeScale: 90000, Codec: k.Params()}})
//
// It does no I/O, and nothing that is wrong with a unit makes it fail: the unit gives
// no sample, or pictures are taken for being in order.
package mp4bridge
