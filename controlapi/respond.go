package controlapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
)

// defaultItems is how many items a page has, maxItems the most that can be asked for.
const (
	defaultItems = 100
	maxItems     = 100_000
)

// OK is the answer to a change.
type OK struct {
	Status string `json:"status"`
}

// Error is the answer to what went wrong.
type Error struct {
	Status string `json:"status"`
	Error  string `json:"error"`
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		writeError(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

func writeOK(w http.ResponseWriter) { writeJSON(w, OK{"ok"}) }

func writeError(w http.ResponseWriter, status int, err error) {
	b, _ := json.Marshal(Error{"error", err.Error()}) // strings only
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// List is a page of items.
type List[T any] struct {
	PageCount int `json:"pageCount"`
	ItemCount int `json:"itemCount"`
	Items     []T `json:"items"`
}

// writePage writes the page of a list that is asked for. A page past the end is
// empty.
func writePage[T any](w http.ResponseWriter, r *http.Request, all []T) {
	size, err := parameter(r, "itemsPerPage", defaultItems, 1)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	page, err := parameter(r, "page", 0, 0)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	l := List[T]{ItemCount: len(all), PageCount: (len(all) + size - 1) / size, Items: []T{}}
	if page < l.PageCount {
		l.Items = all[page*size : min((page+1)*size, len(all))]
	}
	writeJSON(w, l)
}

// parameter reads a number from the query.
func parameter(r *http.Request, name string, def int, least uint64) (int, error) {
	s := r.URL.Query().Get(name)
	if s == "" && !r.URL.Query().Has(name) {
		return def, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if errors.Is(err, strconv.ErrRange) {
		err = nil // n is the largest there is, as good as what was asked for
	}
	if err != nil || n < least {
		return 0, fmt.Errorf("%s %q: must be a number of at least %d", name, s, least)
	}
	if name == "itemsPerPage" {
		n = min(n, maxItems)
	}
	return int(n), nil
}

// isNil tells whether an interface holds nothing.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	rv := reflect.ValueOf(v)
	return rv.Kind() == reflect.Pointer && rv.IsNil()
}
