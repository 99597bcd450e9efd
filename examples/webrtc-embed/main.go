// Command webrtc-embed puts WebRTC into the web server of a program: its pages
// show a stream with a latency far under a second, and its own tickets say who
// may watch. Only this machine may publish:
//
//	ffmpeg -re -i file.mp4 -c:v libx264 -bf 0 -an -f rtsp -rtsp_transport tcp rtsp://localhost:8554/cam
//
// or with a camera of the browser at http://localhost:8080/video/cam/publish.
// Then open http://localhost:8080.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/httpserver"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/protocol/webrtc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, addresses{http: ":8080", rtsp: ":8554", udp: ":8189"})
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// Tickets are what the pages of the program give to those who may watch: the name
// of a path and a time, signed.
type Tickets struct {
	key  []byte
	life time.Duration
}

// NewTickets returns tickets with a key of their own.
func NewTickets(life time.Duration) *Tickets {
	t := &Tickets{key: make([]byte, sha256.Size), life: life}
	_, _ = rand.Read(t.key) // never fails
	return t
}

// Issue returns a ticket for a path.
func (t *Tickets) Issue(path string) string {
	expiry := strconv.FormatInt(time.Now().Add(t.life).Unix(), 10)
	return expiry + "." + t.sign(path, expiry)
}

func (t *Tickets) sign(path, expiry string) string {
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(path + "\n" + expiry))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Authenticate implements mtx.Authenticator. A ticket comes as a bearer token; it
// is looked at when a viewer joins, and a session may then last longer.
func (t *Tickets) Authenticate(_ context.Context, r *mtx.AccessRequest) (mtx.Identity, error) {
	if r.Action == mtx.ActionPublish && r.Addr.IsLoopback() {
		return mtx.Identity{User: "local"}, nil
	}
	if r.Action == mtx.ActionRead {
		expiry, sign, _ := strings.Cut(r.Token, ".")
		unix, err := strconv.ParseInt(expiry, 10, 64)
		if err == nil && hmac.Equal([]byte(sign), []byte(t.sign(r.Path, expiry))) && time.Now().Unix() < unix {
			return mtx.Identity{User: "ticket"}, nil
		}
	}
	// a client that sent nothing is answered at once; wrong tickets cost time
	return mtx.Identity{}, &mtx.AuthError{Err: errors.New("no valid ticket"), AskCredentials: !r.HasCredentials()}
}

// page plays a stream with the script of the server, which connects again by
// itself.
var page = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Live</title></head>
<body>
<h1>Live</h1>
<video id="video" autoplay muted playsinline controls width="640"></video>
<p id="message" role="status"></p>
<script src="/video/{{.Path}}/reader.js"></script>
<script>
new MediaMTXWebRTCReader({
  url: '/video/{{.Path}}/whep',
  token: {{.Ticket}},
  onTrack: (event) => { document.getElementById('video').srcObject = event.streams[0]; },
  onError: (text) => { document.getElementById('message').textContent = text; },
});
</script>
</body></html>
`))

type addresses struct{ http, rtsp, udp string }

// run serves until ctx is done.
func run(ctx context.Context, addr addresses) error {
	tickets := NewTickets(time.Minute)
	mux := http.NewServeMux()
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{
			&rtsp.Server{Addr: addr.rtsp, Transports: []rtsp.Transport{rtsp.TCP}},
			// pages, scripts and endpoints of all paths below /video
			&webrtc.Server{HTTP: httpserver.OnMux{Mux: mux, Prefix: "/video"}, UDPAddr: addr.udp},
		},
		Auth:  tickets,
		Paths: []mtx.PathConfig{{Name: "cam"}},
	})
	if err != nil {
		return err
	}
	if err := r.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = r.Close() }()

	// Whatever the program asks of its users, it asks here.
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store") // the ticket is for one
		_ = page.Execute(w, map[string]string{"Path": "cam", "Ticket": tickets.Issue("cam")})
	})

	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr.http)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		select {
		case <-ctx.Done():
		case <-r.Done(): // a protocol failed
		}
		_ = srv.Close()
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return r.Err()
}
