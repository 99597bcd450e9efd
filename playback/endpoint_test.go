package playback

import (
	"net/http"
	"testing"
)

// What the endpoint refuses before the handler sees it is told in the same form.
func TestAnswersOfTheEndpoint(t *testing.T) {
	t.Parallel()
	res, body := newRig(t, Server{}, nil).get("/list/..%2f..")
	if res.StatusCode != http.StatusBadRequest || string(body) != `{"status":"error","error":"invalid path"}`+"\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
