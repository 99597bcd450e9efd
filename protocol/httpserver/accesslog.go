package httpserver

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// redacted stands in place of a secret.
const redacted = "***"

// logRequest writes the line of the access log.
func (g *guard) logRequest(w *writer, r *http.Request, began time.Time, failure any) {
	if !g.log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	status := w.status
	if status == 0 && failure == nil {
		status = http.StatusOK
	}
	g.log.Debug("request", "method", r.Method, "uri", w.uri(r), "status", status, "bytes", w.bytes,
		"duration", time.Since(began).Round(time.Microsecond), "remote", g.inspect(r).client)
}

// uri is what logs show of the URL of a request.
func (w *writer) uri(r *http.Request) string {
	uri := w.logPath
	if uri == "" {
		uri = r.URL.EscapedPath()
	}
	if r.URL.RawQuery != "" {
		uri += "?" + RedactQuery(r.URL.RawQuery)
	}
	return uri
}

// LogPath sets the path that the access log shows for a request, for URLs whose
// path holds a secret. w is what the handler was called with.
func LogPath(w http.ResponseWriter, path string) {
	if w, ok := w.(*writer); ok {
		w.logPath = path
	}
}

// RedactQuery replaces the values of parameters that hold secrets: user, pass,
// password, jwt, token, secret, passphrase. The rest of the raw query stays as
// it is.
func RedactQuery(raw string) string {
	var b strings.Builder
	for raw != "" {
		part := raw
		if i := strings.IndexAny(raw, "&;"); i >= 0 {
			part, raw = raw[:i+1], raw[i+1:]
		} else {
			raw = ""
		}
		name, _, ok := strings.Cut(part, "=")
		if !ok || !isSecret(name) {
			b.WriteString(part)
			continue
		}
		b.WriteString(name + "=" + redacted)
		if end := part[len(part)-1]; end == '&' || end == ';' {
			b.WriteByte(end)
		}
	}
	return b.String()
}

func isSecret(name string) bool {
	if n, err := url.QueryUnescape(name); err == nil {
		name = n
	}
	switch strings.ToLower(name) {
	case "user", "pass", "password", "jwt", "token", "secret", "passphrase":
		return true
	}
	return false
}
