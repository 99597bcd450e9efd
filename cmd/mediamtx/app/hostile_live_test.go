package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Thousands of guesses from one address are slowed down, take bounded memory, and
// keep nobody else waiting.
func TestGuessesAtTheAPI(t *testing.T) {
	const clients, window = 32, 3 * time.Second
	in := start(t, localServer+operated+noServers+
		"authInternalUsers: [{user: boss, pass: right, permissions: [{action: api}]}]\n", Options{})
	until(t, "the API", in.out, func() bool { return in.serves("api") })
	from := func(ip string) *http.Client {
		d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
	}
	get := func(ctx context.Context, c *http.Client, pass string) (int, error) {
		req, err := http.NewRequestWithContext(ctx, "GET", "http://"+in.addr("api")+"/v3/paths/list", http.NoBody)
		if err != nil {
			return 0, err
		}
		req.SetBasicAuth("boss", pass)
		res, err := c.Do(req)
		if err != nil {
			return 0, err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode, res.Body.Close()
	}
	other := from("127.0.0.2")
	if _, err := get(t.Context(), other, "right"); err != nil {
		t.Skip("there is one loopback address only: ", err)
	}
	heap, _ := used()
	ctx, cancel := context.WithTimeout(t.Context(), window)
	defer cancel()
	var tried atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			c := from("127.0.0.1")
			for ctx.Err() == nil { // does not wait for answers
				one, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
				if status, err := get(one, c, fmt.Sprint("wrong", tried.Add(1))); err == nil && status != 401 {
					t.Errorf("a guess was answered with %d", status)
				}
				cancel()
			}
		})
	}
	var waits []time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		if status, err := get(t.Context(), other, "right"); err != nil || status != 200 {
			t.Errorf("another address: %d %v", status, err)
		}
		waits = append(waits, time.Since(began))
		time.Sleep(20 * time.Millisecond)
	}
	wg.Wait()
	slices.Sort(waits)
	if most := waits[len(waits)/2]; most > time.Second { // a processor may be busy for once
		t.Errorf("another address waited for %v", most)
	}
	// beyond those who wait for their turn, a guess is refused without being looked
	// at; what was looked at is logged
	looked := strings.Count(in.out.String(), "wrong user or password")
	if n := tried.Load(); n < 200 || looked > 150 {
		t.Errorf("%d of %d guesses were looked at", looked, n)
	}
	if after, _ := used(); after > heap+8<<20+uint64(len(in.out.String())) {
		t.Errorf("the heap grew from %d to %d bytes", heap, after)
	}
	if strings.Contains(in.out.String(), "wrong1") {
		t.Error("the log holds passwords")
	}
}

// Pages of other origins read answers if they may, never with credentials unless
// they are named, and change nothing unless they are named.
func TestOriginsOfTheAPI(t *testing.T) {
	t.Parallel()
	const named, evil = "https://admin.example.com", "https://evil.example.com"
	for _, c := range []struct {
		allow, origin      string
		allowed, with      string // Access-Control-Allow-Origin, -Credentials
		change, changeSite int    // statuses of a change, as older and as newer browsers send it
	}{
		{"['*']", evil, "*", "", 403, 403}, // the default
		{"['*']", named, "*", "", 403, 403},
		{"['" + named + "']", named, named, "true", 200, 200},
		{"['" + named + "']", evil, "", "", 403, 403},
		{"['" + named + "', '*']", evil, "*", "", 403, 403},
		{"['https://*.example.com']", evil, evil, "true", 403, 403}, // a pattern reads, it does not change
		{"[]", named, "", "", 403, 403},
	} {
		in := start(t, localServer+operated+noServers+"apiAllowOrigins: "+c.allow+"\n", Options{})
		until(t, "the API", in.out, func() bool { return in.serves("api") })
		do := func(method, path, site string) *http.Response {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+in.addr("api")+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Close = true
			req.Header.Set("Origin", c.origin)
			req.Header.Set("Cookie", "a=b")
			if site != "" {
				req.Header.Set("Sec-Fetch-Site", site)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res
		}
		h := do("GET", "/v3/paths/list", "cross-site").Header
		if a, w := h.Get("Access-Control-Allow-Origin"), h.Get("Access-Control-Allow-Credentials"); a != c.allowed || w != c.with {
			t.Errorf("%s, %s: %q %q", c.allow, c.origin, a, w)
		}
		for site, want := range map[string]int{"": c.change, "cross-site": c.changeSite} {
			if res := do("PATCH", "/v3/config/global/patch", site); res.StatusCode != want {
				t.Errorf("%s, %s, %q: %d, want %d", c.allow, c.origin, site, res.StatusCode, want)
			}
		}
		in.stop()
	}
}

// A change that restarts the API is answered truthfully over HTTP/2 as well.
func TestChangesByHTTP2(t *testing.T) {
	t.Parallel()
	cert, key, _ := certificate(t)
	in := start(t, localServer+operated+noServers+"apiEncryption: yes\napiServerCert: "+cert+"\napiServerKey: "+key+"\n", Options{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		doc  string
		want int
	}{
		{`{"readTimeout":"4s","pprofAddress":"` + taken.Addr().String() + `"}`, 400},
		{`{"readTimeout":"3s"}`, 200},
		{`{"apiAddress":"localhost:0","pprof":false}`, 200},
		{`{"logLevel":"debug"}`, 200},
		{`{"api":false}`, 200},
	} {
		until(t, "the API", in.out, func() bool { return in.serves("api") })
		tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		req, err := http.NewRequestWithContext(t.Context(), "PATCH", "https://"+in.addr("api")+"/v3/config/global/patch", strings.NewReader(c.doc))
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s: %v", c.doc, err)
		}
		res.Body.Close()
		if res.StatusCode != c.want || res.ProtoMajor != 2 {
			t.Errorf("%s: %d %s", c.doc, res.StatusCode, res.Proto)
		}
		tr.CloseIdleConnections()
	}
	until(t, "the API is off", in.out, func() bool { return !in.serves("api") })
}

// Whom a proxy speaks for is believed if the proxy is trusted, and then decides.
func TestTrustedProxiesOfTheAPI(t *testing.T) {
	t.Parallel()
	for trusted, want := range map[string][2]int{"[]": {200, 200}, "[127.0.0.0/8]": {401, 200}, "[10.0.0.0/8]": {200, 200}} {
		in := start(t, localServer+operated+noServers+"apiTrustedProxies: "+trusted+"\n", Options{}) // local clients may
		until(t, "the API", in.out, func() bool { return in.serves("api") })
		for i, client := range []string{"203.0.113.9", "127.0.0.1"} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+in.addr("api")+"/v3/paths/list", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Close = true
			req.Header.Set("X-Forwarded-For", client)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want[i] {
				t.Errorf("trusted %s, client %s: %d, want %d", trusted, client, res.StatusCode, want[i])
			}
		}
		in.stop()
	}
}
