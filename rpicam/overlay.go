package rpicam

import (
	"encoding/json"
	"os"
)

// maxOverlay bounds the text overlay, in bytes: the program has 256 for it.
const maxOverlay = 255

// stageMissing is what the program prints if it does not know a stage of
// post-processing.
const stageMissing = "No post processing stage found"

// writeOverlay writes the settings of the stage of post-processing that draws
// text. The caller removes the file.
func writeOverlay(text string) (name string, err error) {
	f, err := os.CreateTemp("", "mtx-overlay-*.json")
	if err != nil {
		return "", err
	}
	enc := json.NewEncoder(f)
	enc.SetEscapeHTML(false)
	err = enc.Encode(map[string]any{
		"annotate_cv": map[string]any{"text": text, "fg": 255, "bg": 0, "scale": 1.0, "thickness": 2, "alpha": 0.3},
	})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
