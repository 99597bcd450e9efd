package config

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// minReloadInterval is the least time between two calls of changed.
const minReloadInterval = time.Second

// settleTime is how long a folder must be quiet before a file counts as written:
// editors write in several steps. In a folder that is never quiet, maxSettle
// counts.
const (
	settleTime = 50 * time.Millisecond
	maxSettle  = 10 * settleTime
)

// Watch calls changed, from its own goroutine, whenever the content of the file
// may have changed: written in place, replaced by a rename as editors do, or
// reached through symbolic links that were moved as Kubernetes does. It also does
// so once when the watch begins, since the file may have changed after it was
// loaded: compare [Info.Digest]. Calls come at most once a second; changes in
// between are joined. Watch returns when ctx is done, with nil, or if the file
// cannot be watched.
func Watch(ctx context.Context, file string, log *slog.Logger, changed func()) error {
	return watch(ctx, file, log, changed, minReloadInterval)
}

func watch(ctx context.Context, file string, log *slog.Logger, changed func(), interval time.Duration) error {
	fail := func(err error) error {
		return fmt.Errorf("configuration file %s cannot be watched: %w", quote(file), err)
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return fail(err)
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return fail(err)
	}
	defer notify.Close()
	w := watcher{notify: notify, file: file, watched: map[string]bool{}}
	// Folders are watched, not the file: a file that is replaced is another one.
	if err := w.follow(); err != nil {
		return fail(err)
	}
	quiet := time.NewTimer(0) // the call at the beginning
	defer quiet.Stop()
	var last, deadline time.Time
	touched := func() {
		if deadline.IsZero() { // it counts from when a call may be made
			deadline = time.Now().Add(max(time.Until(last.Add(interval)), 0) + maxSettle)
		}
		wait := min(settleTime, time.Until(deadline))
		quiet.Reset(max(wait, time.Until(last.Add(interval)), 0))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-notify.Events:
			if !ok {
				return nil
			}
			touched()
		case err, ok := <-notify.Errors:
			if !ok {
				return nil
			}
			// Events may have been lost.
			log.Warn("watching the configuration file", "error", err)
			touched()
		case <-quiet.C:
			deadline = time.Time{}
			if err := w.follow(); err != nil {
				log.Warn("watching the configuration file", "error", err)
			}
			if now := w.look(); now != w.state {
				w.state = now
				if now.exists {
					last = time.Now()
					changed()
				}
			}
		}
	}
}

// watcher watches the folders on the way to a file.
type watcher struct {
	notify  *fsnotify.Watcher
	file    string
	watched map[string]bool
	state   fileState
}

// fileState tells whether a file is still the same. Values are comparable.
type fileState struct {
	exists bool
	target string // behind symbolic links
	size   int64
	mtime  time.Time
	inode  string
}

func (w *watcher) look() fileState {
	target, err := filepath.EvalSymlinks(w.file)
	if err != nil {
		return fileState{}
	}
	st, err := os.Stat(target)
	if err != nil {
		return fileState{}
	}
	return fileState{exists: true, target: target, size: st.Size(), mtime: st.ModTime(), inode: fileID(st)}
}

// follow watches the folders of the file and of every symbolic link on the way
// to it, and stops watching those that are no longer on it.
func (w *watcher) follow() error {
	want := map[string]bool{}
	const maxLinks = 40
	path := w.file
	for range maxLinks {
		want[filepath.Dir(path)] = true
		// The folder itself may be a link, as "..data" of Kubernetes is.
		if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil && dir != filepath.Dir(path) {
			want[dir] = true
		}
		next, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(path), next)
		}
		// In "..data/mediamtx.yml" it is "..data" that gets replaced.
		want[filepath.Dir(filepath.Dir(next))] = true
		path = next
	}
	for dir := range w.watched {
		if !want[dir] {
			_ = w.notify.Remove(dir) // it may be gone already
			delete(w.watched, dir)
		}
	}
	var first error
	for dir := range want {
		if w.watched[dir] {
			continue
		}
		if err := w.notify.Add(dir); err != nil {
			if dir == filepath.Dir(w.file) {
				first = err
			}
			continue
		}
		w.watched[dir] = true
	}
	return first
}
