//go:build !windows && !plan9

package app

import (
	"fmt"
	"log/slog"
	"log/syslog"
)

// syslogOutput sends messages to the system log, which adds the time.
type syslogOutput struct{ *syslog.Writer }

func openSyslog(prefix string) (output, error) { return dialSyslog("", "", prefix) }

// dialSyslog uses the log of this machine if no network is given.
func dialSyslog(network, addr, prefix string) (output, error) {
	w, err := syslog.Dial(network, addr, syslog.LOG_INFO|syslog.LOG_DAEMON, prefix)
	if err != nil {
		return nil, fmt.Errorf("logDestinations: syslog cannot be reached: %w", err)
	}
	return syslogOutput{w}, nil
}

func (o syslogOutput) write(level slog.Level, _, bare []byte) error {
	switch {
	case level >= slog.LevelError:
		return o.Err(string(bare))
	case level >= slog.LevelWarn:
		return o.Warning(string(bare))
	case level >= slog.LevelInfo:
		return o.Info(string(bare))
	}
	return o.Debug(string(bare))
}
