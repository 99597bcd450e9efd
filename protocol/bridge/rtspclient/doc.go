// Package rtspclient prepares clients of gortsplib for those who pull from, or
// push to, an RTSP server: it reads URLs, pins certificates, keeps credentials
// out of errors and logs, and makes connections end with a context.
//
//	c, err := rtspclient.New(rtspclient.Options{URL: "rtsps://user:pass@host/stream", Log: log})
//	if err != nil {
//		return err
//	}
//	if err := c.Start(ctx); err != nil {
//		return err
//	}
//	defer c.Close()
//	desc, _, err := c.Describe(c.URL)
//	if err != nil {
//		return c.Explain(err)
//	}
package rtspclient
