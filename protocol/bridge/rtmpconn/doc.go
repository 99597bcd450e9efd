// Package rtmpconn speaks RTMP (Adobe's specification 1.0) up to the point where
// media begins, on both sides of a connection: handshake, chunks, commands, and
// the URL forms and ways to log in that are in use. What is in the media messages
// is the business of rtmpbridge.
//
// A server:
//
//	c, err := rtmpconn.Accept(conn) // handshake and connect command
//	if err != nil {
//		return err
//	}
//	if err := c.AcceptConnect(); err != nil {
//		return err
//	}
//	req, err := c.ReadRequest() // what the client wants
//	if err != nil {
//		return err
//	}
//	if err := c.AcceptRequest(req); err != nil {
//		return err
//	}
//	for {
//		msg, err := c.Read()
//		...
//	}
//
// A client is made by [Dial].
//
// Handshake, AMF types and the encoding of commands are gortmplib's. Reading is
// ours, since peers are not trusted: memory grows only with bytes that have
// arrived, values cannot be nested without end, and what is unknown is passed
// over instead of ending the connection.
package rtmpconn
