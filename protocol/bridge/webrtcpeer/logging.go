package webrtcpeer

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// logFactory makes the loggers of the WebRTC library. What it calls warnings and
// errors is about single peers and packets: debugging information here. The
// rest, which could hold credentials, is dropped.
type logFactory struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (f *logFactory) NewLogger(scope string) logging.LeveledLogger {
	return &libraryLogger{log: f.log, scope: scope}
}

type libraryLogger struct {
	log   *slog.Logger
	scope string
}

func (*libraryLogger) Trace(string)          {}
func (*libraryLogger) Tracef(string, ...any) {}
func (*libraryLogger) Debug(string)          {}
func (*libraryLogger) Debugf(string, ...any) {}
func (*libraryLogger) Info(string)           {}
func (*libraryLogger) Infof(string, ...any)  {}

func (l *libraryLogger) Warn(msg string)                   { l.debug("%s", msg) }
func (l *libraryLogger) Warnf(format string, args ...any)  { l.debug(format, args...) }
func (l *libraryLogger) Error(msg string)                  { l.debug("%s", msg) }
func (l *libraryLogger) Errorf(format string, args ...any) { l.debug(format, args...) }

func (l *libraryLogger) debug(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pion", "scope", l.scope, "message", fmt.Sprintf(format, args...))
	}
}
