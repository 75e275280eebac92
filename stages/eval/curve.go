package eval

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/model/train"
)

// readCurve reads the training log: JSON lines, a train.Record each.
func readCurve(t stage.Task) ([]train.Record, error) {
	curve := []train.Record{}
	for _, f := range t.Inputs("log") {
		records, err := readLog(t, f)
		if err != nil {
			return nil, fmt.Errorf("training log %.12s: %w", f.Digest, err)
		}
		curve = append(curve, records...)
	}
	return curve, nil
}

func readLog(t stage.Task, f stage.File) (records []train.Record, err error) {
	h, err := t.Open(f)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	d := json.NewDecoder(bufio.NewReader(h))
	for {
		var r train.Record
		switch err := d.Decode(&r); {
		case errors.Is(err, io.EOF):
			return records, nil
		case err != nil:
			return nil, fmt.Errorf("record %d: %w", len(records)+1, err)
		}
		records = append(records, r)
	}
}
