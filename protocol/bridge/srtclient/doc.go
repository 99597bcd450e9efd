// Package srtclient is the part of SRT that a source and a sink have in common:
// what SRT URLs mean, and a connection to the one peer that they name.
//
//	c, err := srtclient.New(srtclient.Options{
//		URL:    "srt://host:8890?streamid=read:cam&passphrase=...",
//		OnData: func(b []byte) { ... },
//	})
//	...
//	conn, err := c.Connect(ctx)
//	...
//	defer conn.Close()
//	<-conn.Done()
//
// By default the peer is called. With mode=listener in the URL, the client waits for
// the peer to call, on the address of the URL.
//
// The protocol itself is that of protocol/internal/srtcore, which is made to be
// talked to by strangers: whatever a peer sends, nothing panics and memory is
// bounded.
package srtclient
