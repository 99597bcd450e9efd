// Command customauth adds an authenticator: one key per path.
//
//	ffmpeg -re -i video.mp4 -c copy -f rtsp -rtsp_transport tcp rtsp://localhost:8554/cam
//	ffplay -rtsp_transport tcp rtsp://anybody:secret@localhost:8554/cam
package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"log"
	"os"
	"os/signal"

	"github.com/org/mtx"
	"github.com/org/mtx/protocol/rtsp"
)

// Keys allows reading with the key of the path, and publishing from this
// machine.
type Keys map[string]string

var (
	errKey    = errors.New("wrong key")
	errRemote = errors.New("only this machine may publish")
)

// Authenticate implements mtx.Authenticator. It is called on the goroutine of the
// client, so it may take its time, and by many of them at once. The error is for
// logs: clients never see it.
func (k Keys) Authenticate(_ context.Context, r *mtx.AccessRequest) (mtx.Identity, error) {
	switch r.Action {
	case mtx.ActionRead:
		key, ok := k[r.Path]
		if ok && subtle.ConstantTimeCompare([]byte(key), []byte(r.Pass)) == 1 {
			return mtx.Identity{User: r.User}, nil
		}
		// a client that sent nothing is asked, at once; wrong answers cost time
		return mtx.Identity{}, &mtx.AuthError{Err: errKey, AskCredentials: !r.HasCredentials()}
	case mtx.ActionPublish:
		if r.Addr.IsLoopback() {
			return mtx.Identity{User: "local"}, nil
		}
	}
	return mtx.Identity{}, &mtx.AuthError{Err: errRemote, AskCredentials: !r.HasCredentials()}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, ":8554", Keys{"cam": "secret"})
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string, keys Keys) error {
	r, err := mtx.New(mtx.Config{
		Protocols: []mtx.Protocol{&rtsp.Server{Addr: addr, Transports: []rtsp.Transport{rtsp.TCP}}},
		Auth:      keys,
		Paths:     []mtx.PathConfig{{Name: "cam"}},
	})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}
