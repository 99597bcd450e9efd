package app

import (
	"fmt"
	"io"
	"log/slog"
	"os"
)

// writerOutput writes lines to something that it does not own.
type writerOutput struct{ w io.Writer }

func (o writerOutput) write(_ slog.Level, text, _ []byte) error {
	_, err := o.w.Write(line(text))
	return err
}

// Close implements output.
func (writerOutput) Close() error { return nil }

// fileOutput appends lines to a file.
type fileOutput struct{ *os.File }

func openFile(name string) (fileOutput, error) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fileOutput{}, fmt.Errorf("logFile: %w", err)
	}
	return fileOutput{f}, nil
}

func (o fileOutput) write(_ slog.Level, text, _ []byte) error {
	_, err := o.Write(line(text))
	return err
}

// line ends a line in one buffer, so that it is written at once.
func line(text []byte) []byte { return append(text[:len(text):len(text)], '\n') }
