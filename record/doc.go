// Package record stores streams in files, and finds and deletes what is stored.
//
// # Recording
//
// A [Sink] is part of the configuration of a path. While the path has a stream,
// it writes segments: files of at least [Sink.SegmentDuration], which begin at a
// key frame of the first video track (or anywhere if there is none). Where they
// are is told by a [Pattern], and how to keep them by a [Store]:
//
//	router.PathConfig{Name: "cam", Sinks: []router.Sink{record.Sink{
//		Pattern: "/srv/recordings/%path/%Y-%m-%d_%H-%M-%S-%f",
//		State:   state,
//	}}}
//
// A segment is a sequence of parts of [Sink.PartDuration]. A part is collected in
// memory, handed to a goroutine that writes it and calls fsync, and is all that a
// crash can cost: a segment is not seen under its name before its first part is
// on disk.
//
// Nothing here holds up the stream. A part that cannot be written, because the
// disk is full, broken or too slow, is dropped as a whole and counted; the segment
// ends in front of it, and the next one begins at the next key frame that can be
// stored. This is logged once, and once more when it is over.
//
// A new segment begins early if codec parameters change, if time stamps jump
// (more than 10 seconds forward, or one back; where pictures always are far apart, four
// times that), or if they and the absolute time of the source run apart by more than 5 seconds. Codecs that the format cannot
// carry are left out, which is logged.
//
// # Format
//
// [FMP4] is fragmented MP4: "ftyp", "moov", then for each part "prft", "moof" and
// "mdat". The time scale of a track is its clock rate. Media times ("tfdt") of all
// tracks count from one origin, the start of the segment, which is also the time
// in its name. "prft" (version 1) repeats it exactly: ntp_timestamp is the
// absolute time of media_time on the track reference_track_ID; so each part tells
// when it was captured, and nobody needs an index. A key frame of the first video
// track is the first picture of its part, so that a piece of the file can be sent
// as it is; where they follow each other within a quarter of the duration of a part,
// the first of them is. A track of the segment may
// begin a little after its start, and another segment goes on exactly where this
// one ends, track by track. Parameter sets of H264 and H265 are in "moov" only;
// G711 is stored as 16-bit LPCM.
//
// [MPEGTS] is a transport stream that begins with its tables. Time stamps go on
// from segment to segment; the absolute start is in the name.
//
// # Recordings
//
// [Find] returns the segments of a path, [Paths] the paths that have any,
// [Delete] removes one. [Cleaner] is a router.Protocol that deletes by age and by
// size, and keeps space free. Names that match no pattern are never touched.
//
// # State
//
// A [State] is shared by all sinks and the cleaner of a program: it has counters,
// and tells which segments are being written.
package record
