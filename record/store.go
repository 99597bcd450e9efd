package record

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"
)

// Store keeps segments. The default is [Local]; a program can give another one,
// to keep recordings elsewhere. It is used by many goroutines at once, and must
// be comparable: the router compares sinks that hold it.
//
// Names are file names as [Pattern.Name] makes them, with the separators of the
// system.
type Store interface {
	// Create makes a file, and the folders that it is in. It fails with
	// [fs.ErrExist] if there is one of that name. Until File.Publish nobody needs
	// to see it.
	Create(name string) (File, error)

	// Open opens a file for reading. It fails without delay on what is no file: a
	// folder, a FIFO, a device, a symbolic link.
	Open(name string) (ReadFile, error)

	// List returns the files below a folder. Folders that cannot be read, and what
	// is no file, are left out. It fails if the folder itself cannot be read, and
	// is empty if it does not exist.
	List(ctx context.Context, root string) iter.Seq2[Entry, error]

	// Remove removes a file, published or not, and then the folders between it and root, without
	// root, that are empty. What is missing is no error.
	Remove(root, name string) error

	// Free returns how many bytes can still be written to the folder. It fails
	// with [errors.ErrUnsupported] if nobody knows.
	Free(root string) (uint64, error)
}

// File is a segment that is being written. It is used by one goroutine.
type File interface {
	io.Writer

	// Sync returns when what was written is safe.
	Sync() error

	// Publish makes the file visible under its name, once it holds enough to be
	// played: a crash in front of that leaves no segment. It is called once, after
	// Sync.
	Publish() error

	// Truncate cuts the file, and moves its end there: what was written in part is
	// removed.
	Truncate(size int64) error

	io.Closer
}

// ReadFile is a segment that is being read.
type ReadFile interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer

	// Stat returns at least size and modification time.
	Stat() (fs.FileInfo, error)
}

// Entry is a file in a store.
type Entry struct {
	Name     string
	Size     int64     // bytes
	Modified time.Time // when it was written last
}

// errNotRegular is returned by Open.
var errNotRegular = errors.New("not a regular file")

// storeOr returns the default if s is nil.
func storeOr(s Store) Store {
	if s == nil {
		return Local{}
	}
	return s
}
