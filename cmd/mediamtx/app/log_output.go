package app

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// writerOutput writes lines to something that it does not own.
type writerOutput struct{ w io.Writer }

func (o writerOutput) write(_ slog.Level, text, _ []byte) error {
	_, err := o.w.Write(line(text))
	return err
}

// Close implements output.
func (writerOutput) Close() error { return nil }

// renamePeriod is how often a file is looked for under its name.
const renamePeriod = time.Second

// fileOutput appends lines to a file. When somebody renames or removes it, as
// programs that rotate logs do, it goes on in a new one of the old name.
type fileOutput struct {
	name   string
	file   *os.File
	looked time.Time
}

func openFile(name string) (*fileOutput, error) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("logFile: %w", err)
	}
	return &fileOutput{name: name, file: f, looked: time.Now()}, nil
}

func (o *fileOutput) write(_ slog.Level, text, _ []byte) error {
	if now := time.Now(); now.Sub(o.looked) >= renamePeriod {
		o.looked = now
		if !o.isInPlace() {
			_ = o.reopen() // the old one still takes lines
		}
	}
	_, err := o.file.Write(line(text))
	return err
}

func (o *fileOutput) isInPlace() bool {
	mine, err := o.file.Stat()
	if err != nil {
		return true // nothing better is known
	}
	named, err := os.Stat(o.name)
	return err == nil && os.SameFile(mine, named)
}

// reopen opens the file of the name. If that fails, the one at hand stays.
func (o *fileOutput) reopen() error {
	next, err := openFile(o.name)
	if err != nil {
		return err
	}
	old := o.file
	o.file = next.file
	return old.Close()
}

// Close implements output.
func (o *fileOutput) Close() error { return o.file.Close() }

// line ends a line in one buffer, so that it is written at once.
func line(text []byte) []byte { return append(text[:len(text):len(text)], '\n') }
