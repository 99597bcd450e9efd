package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "ERR"
	case l >= slog.LevelWarn:
		return "WAR"
	case l >= slog.LevelInfo:
		return "INF"
	}
	return "DEB"
}

// appendHead adds "2006/01/02 15:04:05 INF ".
func appendHead(b []byte, r slog.Record) []byte {
	b = r.Time.AppendFormat(b, "2006/01/02 15:04:05 ")
	return append(append(b, levelName(r.Level)...), ' ')
}

// appendText adds "message key=value...".
func appendText(b []byte, r slog.Record, attrs []slog.Attr) []byte {
	b = append(b, printable(r.Message)...)
	for _, a := range attrs {
		b = append(b, ' ')
		b = append(b, printable(a.Key)...)
		b = append(b, '=')
		if s := valueText(a.Value); needsQuotes(s) {
			b = strconv.AppendQuote(b, s)
		} else {
			b = append(b, s...)
		}
	}
	return b
}

// appendJSON adds one JSON object.
func appendJSON(b []byte, r slog.Record, attrs []slog.Attr) []byte {
	b = append(b, `{"timestamp":`...)
	b = appendJSONValue(b, r.Time.Format(time.RFC3339Nano))
	b = append(b, `,"level":`...)
	b = appendJSONValue(b, levelName(r.Level))
	b = append(b, `,"message":`...)
	b = appendJSONValue(b, r.Message)
	seen := map[string]bool{"timestamp": true, "level": true, "message": true}
	for _, a := range attrs {
		key := a.Key
		for seen[key] {
			key += "_"
		}
		seen[key] = true
		b = append(b, ',')
		b = appendJSONValue(b, key)
		b = append(b, ':')
		switch a.Value.Kind() {
		case slog.KindBool, slog.KindInt64, slog.KindUint64:
			b = append(b, valueText(a.Value)...)
		default:
			b = appendJSONValue(b, valueText(a.Value))
		}
	}
	return append(b, '}')
}

// appendJSONValue adds a JSON string.
func appendJSONValue(b []byte, s string) []byte {
	j, err := json.Marshal(strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return append(b, `""`...) // strings can always be marshalled
	}
	return append(b, j...)
}

func valueText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		switch x := v.Any().(type) {
		case error:
			return x.Error()
		case []string:
			return strings.Join(x, ",")
		case fmt.Stringer:
			return x.String()
		}
	}
	return v.String()
}

func needsQuotes(s string) bool {
	return s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r)
	})
}

// printable escapes characters that could begin a line or control a terminal.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
