// Package journal is the durable memory of a sandbox server: an append-only file of JSON lines,
// replayed at start.
//
// It guarantees that an entry is on stable storage once Sync has returned nil for its position,
// that entries keep the order of their Write calls, and that concurrent callers share an fsync
// (group commit). It guarantees nothing about entries whose Sync has not returned: after a crash
// they may exist or not. So a caller must not answer before Sync.
//
// Each line is {"seq":N,"sum":"…","entry":{…}}. sum is the CRC-32C of the entry's bytes in
// hexadecimal. seq counts from 1 without gaps. A last line without a newline comes from a crash
// during a write. No answer depended on it, so Open removes it. Open refuses any other line that
// cannot be read back (a damaged line, a gap, a wrong sum) and reports its number. A ledger that
// silently loses entries is worse than one that does not start.
//
// A failed write or fsync is final for the open journal. After a failed fsync the kernel may have
// dropped the dirty pages, so another try could report success for lost data. Failed tells the
// owner to end the process. The next start replays what is really on the disk.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Position is the sequence number of an entry. The first one is 1.
type Position int64

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// line is the form of one entry in the file.
type line struct {
	Seq   Position        `json:"seq"`
	Sum   string          `json:"sum"`
	Entry json.RawMessage `json:"entry"`
}

// Journal is one open file of entries of type T. [Open] creates it. It is safe for concurrent use.
type Journal[T any] struct {
	file   *os.File
	fsync  func() error
	failed chan struct{}

	mu      sync.Mutex
	changed *sync.Cond
	pending []byte
	written Position
	durable Position
	syncing bool
	err     error
}

// Open opens or creates the journal at path, whose folder must exist, and calls replay for each
// entry in order. It takes an exclusive lock on the file and fails when another process has it. It
// also fails when a line cannot be read back, except for an unfinished last line.
func Open[T any](path string, replay func(Position, T) error) (*Journal[T], error) {
	return OpenOn(path, replay, (*os.File).Sync)
}

// OpenOn is [Open] with another fsync function for [Journal.Sync], such as a slow or failing one of
// a test. The syncs of OpenOn itself use the real fsync.
func OpenOn[T any](path string, replay func(Position, T) error, fsync func(*os.File) error) (*Journal[T], error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal[T]{file: file, fsync: func() error { return fsync(file) }, failed: make(chan struct{})}
	j.changed = sync.NewCond(&j.mu)
	if err := j.load(path, replay); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

func (j *Journal[T]) load(path string, replay func(Position, T) error) error {
	if err := syscall.Flock(int(j.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock journal %s (is another process using it?): %w", path, err)
	}
	end, err := j.replay(path, replay)
	if err != nil {
		return err
	}
	if err := j.file.Truncate(end); err != nil {
		return fmt.Errorf("cut unfinished line off journal %s: %w", path, err)
	}
	if _, err := j.file.Seek(end, io.SeekStart); err != nil {
		return fmt.Errorf("seek to end of journal %s: %w", path, err)
	}
	// Replayed entries may be only in the page cache of a crashed predecessor, and answers will
	// depend on them.
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync journal %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

// replay returns the offset after the last complete line.
func (j *Journal[T]) replay(path string, apply func(Position, T) error) (int64, error) {
	reader := bufio.NewReaderSize(j.file, 64<<10)
	var end int64
	for number := 1; ; number++ {
		raw, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return 0, fmt.Errorf("read journal %s: %w", path, err)
		}
		entry, err := j.parse(raw)
		if err != nil {
			return 0, fmt.Errorf("journal %s is damaged at line %d: %w", path, number, err)
		}
		j.written++
		j.durable = j.written
		if err := apply(j.written, entry); err != nil {
			return 0, fmt.Errorf("replay line %d of journal %s: %w", number, path, err)
		}
		end += int64(len(raw))
	}
}

func (j *Journal[T]) parse(raw []byte) (T, error) {
	var (
		l     line
		entry T
	)
	if err := json.Unmarshal(raw, &l); err != nil {
		return entry, err
	}
	if l.Seq != j.written+1 {
		return entry, fmt.Errorf("sequence %d where %d was expected", l.Seq, j.written+1)
	}
	if sum := checksum(l.Entry); sum != l.Sum {
		return entry, fmt.Errorf("checksum %s where the entry has %s", l.Sum, sum)
	}
	err := json.Unmarshal(l.Entry, &entry)
	return entry, err
}

func checksum(entry []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(entry, castagnoli))
}

// syncFolder makes the file's name durable, not only its content.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open folder of journal: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync folder of journal: %w", err)
	}
	return nil
}

// Write appends entry and returns its position. The entry is only in memory until Sync. A caller
// that decides under a lock calls Write under that lock, so that the file has the order of the
// decisions.
func (j *Journal[T]) Write(entry T) (Position, error) {
	body, err := json.Marshal(entry)
	if err != nil {
		return 0, fmt.Errorf("encode journal entry: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return 0, j.err
	}
	l, err := json.Marshal(line{Seq: j.written + 1, Sum: checksum(body), Entry: body})
	if err != nil {
		return 0, fmt.Errorf("encode journal line: %w", err)
	}
	j.written++
	j.pending = append(append(j.pending, l...), '\n')
	return j.written, nil
}

// Last returns the position of the newest written entry, durable or not.
func (j *Journal[T]) Last() Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.written
}

// Sync returns when every entry up to and including upTo is on stable storage, or when an error
// prevents that. One caller at a time writes and fsyncs for all entries written so far.
func (j *Journal[T]) Sync(upTo Position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.durable < upTo && j.err == nil {
		if j.syncing {
			j.changed.Wait()
			continue
		}
		j.flush()
	}
	if j.durable < upTo {
		return j.err
	}
	return nil
}

// flush requires that the caller holds mu. It releases mu during the write and the fsync.
func (j *Journal[T]) flush() {
	batch, upTo := j.pending, j.written
	j.pending, j.syncing = nil, true
	j.mu.Unlock()
	_, err := io.Copy(j.file, bytes.NewReader(batch))
	if err == nil {
		err = j.fsync()
	}
	j.mu.Lock()
	j.syncing = false
	if err != nil {
		j.err = fmt.Errorf("write journal: %w", err)
		close(j.failed)
	} else {
		j.durable = upTo
	}
	j.changed.Broadcast()
}

// Failed returns a channel that is closed when the journal could not be written. It then accepts no
// more entries.
func (j *Journal[T]) Failed() <-chan struct{} { return j.failed }

// Err returns the reason why Failed was closed, or nil.
func (j *Journal[T]) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Close makes all written entries durable, releases the lock and closes the file. No Write is
// allowed afterwards.
func (j *Journal[T]) Close() error {
	return errors.Join(j.Sync(j.Last()), j.file.Close())
}
