package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// refusalsFile is in the data folder. It lists the refused kinds of requests: a JSON object
	// from the numbers of kinds to Kafka's error codes.
	refusalsFile = "refusals.json"
	// refusalsEvery is how often the broker reads the file, and so the delay of a change.
	refusalsEvery = 50 * time.Millisecond
)

// refusals are error codes by kind of request.
type refusals map[int16]int16

// Refuse makes the broker on a data folder answer every request of a kind with an error instead of
// executing it: kmsg.Produce with kerr.InvalidTimestamp, for example, or kmsg.OffsetCommit. It
// takes effect within 50 ms, continues over restarts of the broker, and ends within 50 ms of
// [Obey]. A second call for the same kind replaces the error. Two concurrent callers may overwrite
// each other's changes.
func Refuse(dataDir string, kind kmsg.Key, with *kerr.Error) error {
	return changeRefusals(dataDir, func(all refusals) { all[kind.Int16()] = with.Code })
}

// Obey ends a Refuse. A kind that is not refused is no error.
func Obey(dataDir string, kind kmsg.Key) error {
	return changeRefusals(dataDir, func(all refusals) { delete(all, kind.Int16()) })
}

func changeRefusals(dataDir string, change func(refusals)) error {
	all, err := readRefusals(dataDir)
	if err != nil {
		return err
	}
	change(all)
	text, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("tell the broker what to refuse: %w", err)
	}
	file := filepath.Join(dataDir, refusalsFile)
	// The broker must never read a partial file.
	if err := os.WriteFile(file+".new", text, 0o644); err != nil {
		return fmt.Errorf("tell the broker what to refuse: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("tell the broker what to refuse: %w", err)
	}
	return nil
}

// readRefusals returns an empty map if there is no file.
func readRefusals(dataDir string) (refusals, error) {
	all := refusals{}
	text, err := os.ReadFile(filepath.Join(dataDir, refusalsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the broker refuses: %w", err)
	}
	return all, nil
}

// followRefusals applies the file until ctx ends.
func followRefusals(ctx context.Context, cluster *kfake.Cluster, dataDir string, log *slog.Logger) {
	tick := time.NewTicker(refusalsEvery)
	defer tick.Stop()
	now, planted := refusals{}, []*kfake.FaultHandle{}
	for {
		wanted, err := readRefusals(dataDir)
		switch {
		case err != nil:
			log.Error("the broker goes on as before", "error", err)
		case !maps.Equal(now, wanted):
			for _, h := range planted {
				h.Remove()
			}
			now, planted = wanted, planted[:0]
			for kind, code := range wanted {
				var answer *kerr.Error
				if !errors.As(kerr.ErrorForCode(code), &answer) {
					continue // code 0 means no error
				}
				planted = append(planted, cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Key(kind)}, Err: answer, Count: -1}))
			}
			log.Warn("broker refuses requests", "codes_by_kind", wanted)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
