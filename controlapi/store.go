package controlapi

import (
	"context"
	"encoding/json"
	"errors"
)

// Errors of a [ConfigStore]. Every other error says what is wrong with a change,
// and is answered with 400.
var (
	// ErrPathExists: a path cannot be added twice.
	ErrPathExists = errors.New("path already exists")
	// ErrPathNotFound: there is no such path in the configuration.
	ErrPathNotFound = errors.New("path not found")
	// ErrUnderWay: a change is certain, and about to restart this server, so that
	// the request is over before. It is answered with 200.
	ErrUnderWay = errors.New("the change is being applied")
	// ErrEnding: this server ends, so that a change was not made, or that its outcome
	// is not known. It is answered with 500.
	ErrEnding = errors.New("the server is about to end")
)

// ConfigStore is the configuration as JSON documents, with the key names of
// MediaMTX. The API validates, redacts and merges nothing: the store does.
// cmd/mediamtx implements it; without one, /v3/config answers 404.
//
// Changes are validated as a whole and are in force when the method returns, or
// nothing has changed. All methods may be called concurrently.
type ConfigStore interface {
	// Global returns all keys but pathDefaults and paths.
	Global(ctx context.Context) (json.RawMessage, error)
	// PatchGlobal sets the keys of a document.
	PatchGlobal(ctx context.Context, doc json.RawMessage) error

	// PathDefaults returns the keys that paths have when they do not set them.
	PathDefaults(ctx context.Context) (json.RawMessage, error)
	// PatchPathDefaults sets the keys of a document.
	PatchPathDefaults(ctx context.Context, doc json.RawMessage) error

	// Paths returns all paths, by name.
	Paths(ctx context.Context) ([]json.RawMessage, error)
	// Path returns a path, or ErrPathNotFound.
	Path(ctx context.Context, name string) (json.RawMessage, error)
	// AddPath adds a path, or returns ErrPathExists.
	AddPath(ctx context.Context, name string, doc json.RawMessage) error
	// PatchPath sets keys of a path, or returns ErrPathNotFound.
	PatchPath(ctx context.Context, name string, doc json.RawMessage) error
	// ReplacePath makes a path consist of the keys of a document; it need not
	// exist.
	ReplacePath(ctx context.Context, name string, doc json.RawMessage) error
	// DeletePath removes a path, or returns ErrPathNotFound.
	DeletePath(ctx context.Context, name string) error

	// Export returns the whole configuration as YAML.
	Export(ctx context.Context) ([]byte, error)
}
