package registry

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"eventshop.example/pkg/schema"
)

// journalName is the one file of a registry's folder.
const journalName = "journal.jsonl"

// Kinds of entries.
const (
	kindVersion = "version"
	kindLevel   = "level"
)

// entry is one change of the registry.
type entry struct {
	Kind    string       `json:"kind"`
	Subject string       `json:"subject,omitempty"` // empty for the global level
	Version int          `json:"version,omitempty"`
	ID      int          `json:"id,omitempty"`
	Schema  string       `json:"schema,omitempty"` // only if the id is new
	Level   schema.Level `json:"level,omitempty"`

	canonical string // of Schema; computed again when read
}

// line is an entry in the file. JSON without a checksum would not show a flipped bit within a
// string.
type line struct {
	Sum   uint32          `json:"crc32c"` // of the bytes of Entry
	Entry json.RawMessage `json:"entry"`
}

// journal stores the entries of one registry in order, in a file or a Kafka topic. After its first
// failed write it refuses all further writes.
type journal interface {
	append(e entry) error    // returns when the entry is durable; not for concurrent use
	failed() <-chan struct{} // closed at the first failure
	failure() error          // nil before the first failure
	close() error
}

// final is the first failure of a journal.
type final struct {
	c chan struct{}

	mu  sync.Mutex
	err error
}

func newFinal() *final { return &final{c: make(chan struct{})} }

// fail is called once, because no write is attempted after it.
func (f *final) fail(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	close(f.c)
	return err
}

func (f *final) failed() <-chan struct{} { return f.c }

func (f *final) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// fileJournal is an append-only file of lines, locked for one registry.
type fileJournal struct {
	*final
	file *os.File
}

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// openFile passes every entry to replay and stops at its first error.
func openFile(dir string, replay func(entry) error) (_ *fileJournal, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	path := filepath.Join(dir, journalName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	// The kernel releases the lock when the process ends, in whatever way.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("another registry uses %s: %w", path, err)
	}
	good, err := readLines(f, replay)
	if err != nil {
		return nil, fmt.Errorf("read journal %s: %w", path, err)
	}
	if err := cutTail(f, good); err != nil {
		return nil, fmt.Errorf("cut unfinished line off journal %s: %w", path, err)
	}
	// A new file is durable only if its folder is synced.
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("sync data folder: %w", err)
	}
	return &fileJournal{final: newFinal(), file: f}, nil
}

// readLines returns the length of the complete lines, in bytes.
func readLines(f io.Reader, replay func(entry) error) (good int64, err error) {
	in := bufio.NewReader(f)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return good, nil // the rest is an incomplete line: it was never acknowledged
		}
		if err != nil {
			return 0, fmt.Errorf("line %d: %w", n, err)
		}
		e, err := decodeLine(text)
		if err == nil {
			err = replay(e)
		}
		if err != nil {
			return 0, fmt.Errorf("line %d is damaged: %w", n, err)
		}
		good += int64(len(text))
	}
}

func decodeLine(text []byte) (e entry, err error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return e, err
	}
	if got := sum(l.Entry); got != l.Sum {
		return e, fmt.Errorf("checksum is %d, not %d", got, l.Sum)
	}
	dec := json.NewDecoder(bytes.NewReader(l.Entry))
	dec.DisallowUnknownFields() // a later version may have written a field with a meaning
	return e, dec.Decode(&e)
}

func cutTail(f *os.File, good int64) error {
	info, err := f.Stat()
	if err != nil || info.Size() == good {
		return err
	}
	slog.Warn("schema registry cuts an unfinished line off its journal",
		"file", f.Name(), "bytes", info.Size()-good)
	if err := f.Truncate(good); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// append returns when the entry is on disk.
func (j *fileJournal) append(e entry) error {
	if err := j.failure(); err != nil {
		return fmt.Errorf("journal failed before: %w", err)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode journal entry: %w", err)
	}
	text, err := json.Marshal(line{Sum: sum(raw), Entry: raw})
	if err != nil {
		return fmt.Errorf("encode journal line: %w", err)
	}
	if _, err := j.file.Write(append(text, '\n')); err != nil {
		return j.fail(fmt.Errorf("write journal: %w", err))
	}
	if err := j.file.Sync(); err != nil {
		return j.fail(fmt.Errorf("sync journal: %w", err))
	}
	return nil
}

func (j *fileJournal) close() error { return j.file.Close() }
