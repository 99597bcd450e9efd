// Package config knows what users write: the keys of MediaMTX, their defaults
// and deprecated names, YAML, environment variables and overrides. Nothing else
// in this module does.
//
// # From text to a router
//
// [Load] reads a [Document] from layers, each of which replaces what the ones
// before it said:
//
//	defaults < file < environment (MTX_*) < overrides (flags)
//
// and [Document.Build] turns it into a router.Config, a pure function:
//
//	doc, info, err := config.Load("mediamtx.yml", os.Environ(), nil)
//	if err != nil {
//		return err // one line per problem, with file, line, key and value
//	}
//	for _, w := range info.Warnings {
//		log.Warn(w)
//	}
//	cfg, err := doc.Build()
//
// [Watch] tells when the file changed; load and build again, and give the result
// to Router.Apply.
//
// # Paths
//
// A key that a path does not set has the value of pathDefaults, and one that
// pathDefaults does not set has its own default. The decoded [Path] holds the
// outcome. [Document.Build] sorts the paths by name; regular expressions are
// tried in that order.
//
// # Environment
//
// The name of a variable is the path of a key, in capitals, joined by
// underscores, after MTX_ (or RTSP_, the prefix of old releases):
//
//	MTX_RTSPADDRESS=127.0.0.1:8554
//	MTX_RTSPTRANSPORTS=tcp,udp               a list, as a whole
//	MTX_AUTHINTERNALUSERS_0_USER=operator    a list, by position
//	MTX_PATHS_FRONT_DOOR_SOURCE=rtsp://...   path "front_door"
//
// Names are resolved against the types of the Document, so names that mean
// nothing to it are left alone.
//
// # Deprecated keys
//
// Deprecated keys are replaced by their successors in each layer, before the
// layers are joined, with one warning each. If a map has both, the successor
// counts.
package config
