package main

import "testing"

func TestControlURL(t *testing.T) {
	t.Parallel()
	const head = "v=0\r\ns=x\r\na=control:*\r\n"
	for name, c := range map[string]struct{ sdp, base, want string }{
		"relative":   {head + "m=video 0 RTP/AVP 96\r\na=control:trackID=0\r\n", "rtsp://h/p/", "rtsp://h/p/trackID=0"},
		"no slash":   {head + "m=video 0 RTP/AVP 96\r\na=control:trackID=0", "rtsp://h/p", "rtsp://h/p/trackID=0"},
		"absolute":   {head + "m=video 0 RTP/AVP 96\r\na=control:rtsp://h/q/t\r\n", "rtsp://h/p", "rtsp://h/q/t"},
		"none":       {head + "m=video 0 RTP/AVP 96\r\n", "rtsp://h/p", "rtsp://h/p"},
		"two tracks": {head + "m=video 0\r\na=control:a\r\nm=audio 0\r\na=control:b\r\n", "rtsp://h/p", "rtsp://h/p/a"},
	} {
		if got := controlURL(c.sdp, c.base); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func FuzzControlURL(f *testing.F) {
	f.Add("m=video 0 RTP/AVP 96\r\na=control:trackID=0\r\n")
	f.Add(sessionDescription())
	f.Fuzz(func(t *testing.T, sdp string) {
		if controlURL(sdp, "rtsp://h/p") == "" {
			t.Fatal("empty")
		}
	})
}
