// Package whipclient is the HTTP side of a client of WHIP (RFC 9725) and of WHEP
// (draft-ietf-wish-whep), for the source that pulls and for the sink that pushes.
// It carries offers and answers as texts and knows nothing of what is in them.
//
//	c, err := whipclient.New(whipclient.Options{Protocol: whipclient.WHEP, URL: "wheps://user:pass@host/cam/whep"})
//	defer c.Close()
//	servers, err := c.ICEServers(ctx) // OPTIONS: what the offer may be made with
//	s, err := c.Post(ctx, offer)      // s.Answer is the SDP of the server
//	defer s.Delete(ctx)
//
// What servers send is bounded in size and time. Redirects are followed only in
// the ways that keep the offer (307 and 308), never from HTTPS to HTTP, and
// credentials stay with the host that they were meant for. A session is ended
// only at the host that answered: a server cannot make the client send DELETE to
// somebody else.
//
// Credentials, and the secret URL of the session, never appear in errors and
// logs.
package whipclient
