package record

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Local is the store of files of this machine.
type Local struct{}

// Permissions of what is made, before the umask: other programs may read.
const (
	filePerm = 0o644
	dirPerm  = 0o755
)

// maxDepth bounds folders inside of each other.
const maxDepth = 64

// Create implements Store.
func (Local) Create(name string) (File, error) {
	var err error
	folders := missingFolders(filepath.Dir(name))
	// another recorder may have removed the folder, because it was empty
	for range 3 {
		if err := os.MkdirAll(filepath.Dir(name), dirPerm); err != nil {
			return nil, err
		}
		var f *os.File
		f, err = os.OpenFile(temporary(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
		if err == nil {
			return notTaken(&localFile{f, name, folders})
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return nil, err
}

// missingFolders returns how many folders have to be made.
func missingFolders(dir string) int {
	n := 0
	for ; n < maxDepth; n++ {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return n
}

// notTaken fails if there is a file of that name already.
func notTaken(f *localFile) (File, error) {
	if f.File.Name() != f.name {
		if _, err := os.Lstat(f.name); err == nil {
			_, _ = f.Close(), os.Remove(f.File.Name())
			return nil, &fs.PathError{Op: "create", Path: f.name, Err: fs.ErrExist}
		}
	}
	return f, nil
}

// unpublished is the extension of files that are not published. It is no
// extension of segments.
const unpublished = ".part"

var errRemoved = errors.New("the file was removed")

// temporary returns the name of a file before it is published. On Windows, files
// that are open cannot be renamed.
func temporary(name string) string {
	if runtime.GOOS == "windows" {
		return name
	}
	return name + unpublished
}

// localFile adds to os.File what File wants.
type localFile struct {
	*os.File

	name    string
	folders int // that were made for it
}

// Sync fails if somebody has removed the file: what follows would be lost with it.
func (f *localFile) Sync() error {
	if err := f.File.Sync(); err != nil {
		return err
	}
	if removed(f.File) {
		return &fs.PathError{Op: "sync", Path: f.name, Err: errRemoved}
	}
	return nil
}

func (f *localFile) Publish() error {
	if f.File.Name() != f.name {
		if err := os.Rename(f.File.Name(), f.name); err != nil {
			return err
		}
	}
	// so that the name outlives a loss of power, and the folders that are new do; not
	// all systems can do it
	dir := filepath.Dir(f.name)
	for range f.folders + 1 {
		if d, err := os.Open(dir); err == nil {
			_ = d.Sync()
			_ = d.Close()
		}
		dir = filepath.Dir(dir)
	}
	return nil
}

func (f *localFile) Truncate(size int64) error {
	err := f.File.Truncate(size)
	_, err2 := f.Seek(size, io.SeekStart)
	return errors.Join(err, err2)
}

// Open implements Store.
func (Local) Open(name string) (ReadFile, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	// it may be replaced by something else in the meantime
	f, err := os.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// List implements Store.
func (Local) List(ctx context.Context, root string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		w := walk{ctx.Err, yield}
		if err := w.folder(root, 0); err != nil && !errors.Is(err, errStop) && !errors.Is(err, fs.ErrNotExist) {
			yield(Entry{}, err)
		}
	}
}

// errStop ends a walk that nobody wants to go on.
var errStop = errors.New("stop")

type walk struct {
	err   func() error
	yield func(Entry, error) bool
}

// folder lists a folder in pieces, so that memory does not grow with it. The
// error is that of the folder itself, or what ends the walk.
func (w walk) folder(dir string, depth int) error {
	f, err := os.OpenFile(dir, os.O_RDONLY|dirFlags, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for {
		list, err := f.ReadDir(256)
		for _, e := range list {
			if err := w.entry(filepath.Join(dir, e.Name()), e, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (w walk) entry(name string, e fs.DirEntry, depth int) error {
	if err := w.err(); err != nil {
		w.yield(Entry{}, err)
		return errStop
	}
	if e.IsDir() && depth < maxDepth {
		if err := w.folder(name, depth+1); errors.Is(err, errStop) {
			return err
		}
		return nil
	}
	if !e.Type().IsRegular() {
		return nil
	}
	info, err := e.Info()
	if err != nil {
		return nil //nolint:nilerr // it was removed in the meantime
	}
	if !w.yield(Entry{name, info.Size(), info.ModTime()}, nil) {
		return errStop
	}
	return nil
}

// Remove implements Store.
func (Local) Remove(root, name string) error {
	if err := errors.Join(removeFile(name), removeFile(temporary(name))); err != nil {
		return err
	}
	root = filepath.Clean(root)
	dir := filepath.Dir(name)
	for inside(root, dir) && os.Remove(dir) == nil { // until one is not empty
		dir = filepath.Dir(dir)
	}
	return nil
}

func removeFile(name string) error {
	err := os.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// inside tells whether dir is below root, which are both clean.
func inside(root, dir string) bool {
	rel, err := filepath.Rel(root, dir)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// Free implements Store.
func (Local) Free(root string) (uint64, error) {
	for {
		n, err := freeSpace(root)
		parent := filepath.Dir(root)
		if !errors.Is(err, fs.ErrNotExist) || parent == root {
			return n, err
		}
		root = parent // it is made with the first segment
	}
}
