// Package whep pulls streams from WebRTC servers by WHEP
// (draft-ietf-wish-whep): other instances of this server, media servers and
// cloud services.
//
//	r, err := router.New(router.Config{
//		Paths: []router.PathConfig{{
//			Name:   "cam",
//			Source: whep.Source{URL: "wheps://user:pass@media.example/cam/whep"},
//		}},
//	})
//
// # How it works
//
// The source asks the server which STUN and TURN servers to use (OPTIONS), makes
// an offer with all its candidates, posts it, and receives by UDP or TCP on ports
// of its own; the server does not have to reach them first. RTP packets are
// handed on as they are, in order, with those that were lost and sent again; they
// are unpacked only while somebody wants payloads. When a reader comes, or
// something is lost for good, the server is asked for a key frame.
//
// Tracks that the server announces but does not send are left out after
// [Source.TrackGatherTimeout].
//
// Each run is one attempt, with one exception: if no connection came about and
// the server named ICE servers with its answer only, these are tried at once. The
// router repeats what fails after a pause. At the end the session on the server
// is deleted.
//
// Credentials never appear in errors and logs.
package whep
