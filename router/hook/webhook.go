package hook

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Webhook is a URL that is told about events.
//
// Each event is a POST with the event as JSON, and these headers:
//
//	Mtx-Event: pathReady
//	Mtx-Timestamp: 1767225600
//	Mtx-Signature: sha256=<hex of HMAC-SHA256(Secret, timestamp + "." + body)>
//
// Any 2xx is success. Errors of the network, 408, 429 and 5xx are tried again,
// other answers are not. Redirects are not followed.
type Webhook struct {
	URL    string   // http or https
	Events []string // types; empty: all
	Secret string   // signs; empty: no signature

	// Timeout of a try. Default 10s.
	Timeout time.Duration

	// Tries is how often an event is sent before it is given up. Default 6: with
	// pauses of 1, 2, 4, 8 and 16 seconds.
	Tries int

	// QueueSize is the number of events that wait; those beyond are lost, with a
	// log entry. Default 1024.
	QueueSize int

	// Pause is the first pause between tries. Default 1s.
	Pause time.Duration
}

func (w *Webhook) setDefaults() {
	if w.Timeout <= 0 {
		w.Timeout = 10 * time.Second
	}
	if w.Tries <= 0 {
		w.Tries = 6
	}
	if w.QueueSize <= 0 {
		w.QueueSize = 1024
	}
	if w.Pause <= 0 {
		w.Pause = time.Second
	}
}

// Validate tells what is wrong with a webhook.
func (w *Webhook) Validate() error {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("the URL of a webhook must be an absolute http or https URL") // it may hold a secret
	}
	for _, e := range w.Events {
		if !slices.Contains(Types(), e) {
			return fmt.Errorf("unknown event %q of a webhook: it must be one of %s", e, typesText())
		}
	}
	return nil
}

func (w *Webhook) wants(typ string) bool {
	return len(w.Events) == 0 || slices.Contains(w.Events, typ)
}

// host is what can be logged of the URL.
func (w *Webhook) host() string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return ""
	}
	return u.Host
}
