package playback

import "time"

// movieScale is the time scale of movies that are made here.
const movieScale = 90000

// matrix shows pictures as they are.
var matrix = [9]uint32{0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000}

func (w *builder) matrix() {
	for _, v := range matrix {
		w.u32(v)
	}
}

func (w *builder) movieHeader(length time.Duration, tracks int) {
	w.full("mvhd", 1, 0, func() {
		w.zeros(16)
		w.u32(movieScale)
		w.i64(ticks(length, movieScale))
		w.u32(0x10000)
		w.u16(0x100)
		w.zeros(10)
		w.matrix()
		w.zeros(24)
		w.u32(uint32(tracks) + 1) // few
	})
}

func (w *builder) trackHeader(t *track, id int, length time.Duration) {
	w.full("tkhd", 1, 3, func() {
		w.zeros(16)
		w.u32(uint32(id)) // few
		w.u32(0)
		w.i64(ticks(length, movieScale))
		w.zeros(8)
		w.u16(0)
		group := uint16(1)
		if t.video {
			group = 0
		}
		w.u16(group)
		w.u16(t.volume)
		w.u16(0)
		w.matrix()
		w.u32(t.width)
		w.u32(t.height)
	})
}

func (w *builder) mediaHeader(t *track, length int64) {
	w.full("mdhd", 1, 0, func() {
		w.zeros(16)
		w.u32(t.scale)
		w.i64(length)
		w.u16(0x55c4) // "und"
		w.u16(0)
	})
	w.bytes(t.hdlr)
}

// information adds what stands in front of the sample tables.
func (w *builder) information(t *track) {
	w.bytes(t.header)
	if t.dinf != nil {
		w.bytes(t.dinf)
		return
	}
	w.box("dinf", func() {
		w.full("dref", 0, 0, func() {
			w.u32(1)
			w.full("url ", 0, 1, func() {})
		})
	})
}

// edit is an entry of an edit list.
type edit struct {
	length int64 // ticks of the movie; 0: everything, in fragmented files
	at     int64 // ticks of the track; -1: nothing is shown
}

func (w *builder) edits(list ...edit) {
	w.box("edts", func() {
		w.full("elst", 1, 0, func() {
			w.u32(uint32(len(list))) // few
			for _, e := range list {
				w.i64(e.length)
				w.i64(e.at)
				w.u32(0x10000)
			}
		})
	})
}

func (w *builder) fileType(major string, others ...string) {
	w.box("ftyp", func() {
		w.text(major)
		w.u32(1)
		w.text(major)
		for _, o := range others {
			w.text(o)
		}
	})
}

// fragmentedHeader makes the header of a fragmented file. Before is how many
// ticks of each track precede the start and are hidden; nil: none.
func fragmentedHeader(tracks []track, length time.Duration, before []int64) []byte {
	w := &builder{}
	w.fileType("iso6", "iso5", "mp41", "hlsf")
	w.box("moov", func() {
		w.movieHeader(0, len(tracks))
		for i := range tracks {
			t := &tracks[i]
			w.box("trak", func() {
				w.trackHeader(t, i+1, 0)
				if before != nil {
					w.edits(edit{0, before[i]})
				}
				w.box("mdia", func() {
					w.mediaHeader(t, 0)
					w.box("minf", func() {
						w.information(t)
						w.box("stbl", func() {
							w.bytes(t.stsd)
							w.full("stts", 0, 0, func() { w.u32(0) })
							w.full("stsc", 0, 0, func() { w.u32(0) })
							w.full("stsz", 0, 0, func() { w.zeros(8) })
							w.full("stco", 0, 0, func() { w.u32(0) })
						})
					})
				})
			})
		}
		w.box("mvex", func() {
			if length > 0 {
				w.full("mehd", 1, 0, func() { w.i64(ticks(length, movieScale)) })
			}
			for i := range tracks {
				w.full("trex", 0, 0, func() {
					w.u32(uint32(i + 1)) // few
					w.u32(1)
					w.zeros(12)
				})
			}
		})
	})
	return w.b
}
