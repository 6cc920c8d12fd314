package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// block is the size of one read when the end of a file is searched.
const block = 64 << 10

// maxLine bounds an unfinished line; a longer one is returned in pieces.
const maxLine = 1 << 20

// File is the log of a program, a file that it appends to. At a start, a large file is renamed with
// the suffix ".1", and a new one begins.
type File struct {
	path string
	f    *os.File
	rest []byte // of an unfinished line
}

// NewFile returns the log at a path, which need not exist yet.
func NewFile(path string) *File { return &File{path: path} }

// Close releases the file.
func (l *File) Close() {
	if l.f != nil {
		l.f.Close() //nolint:errcheck // it was only read
		l.f = nil
	}
}

// Next returns the lines since the last call. The first call returns the last most lines, including
// those of the renamed file; with a negative number it returns all. It returns an error that
// matches [os.ErrNotExist] if there is no log. It does not return an unfinished line, see Rest.
func (l *File) Next(_ context.Context, most int) ([]string, error) {
	var lines []string
	if l.f == nil {
		f, err := os.Open(l.path)
		if err != nil {
			return nil, err
		}
		l.f = f
		found, err := back(f, most)
		if err != nil {
			return nil, fmt.Errorf("find the end of %s: %w", l.path, err)
		}
		if most < 0 || found < most {
			if lines, err = aside(l.path+".1", most-found); err != nil {
				return nil, err
			}
		}
	}
	more, err := l.lines()
	lines = append(lines, more...)
	if err != nil || !l.replaced() {
		return lines, err
	}
	// The program has a new file now. The old one gets no more lines.
	lines = append(lines, l.Rest()...)
	l.Close()
	f, err := os.Open(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return lines, nil
	}
	if err != nil {
		return lines, err
	}
	l.f = f
	more, err = l.lines()
	return append(lines, more...), err
}

// Rest returns and discards the unfinished line, if there is one.
func (l *File) Rest() []string {
	rest := l.rest
	l.rest = nil
	if len(rest) == 0 {
		return nil
	}
	return []string{string(rest)}
}

// lines reads up to the end of the file.
func (l *File) lines() ([]string, error) {
	if err := l.rewind(); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(l.f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.path, err)
	}
	return l.split(b), nil
}

// rewind returns to the beginning of a file that was truncated.
func (l *File) rewind() error {
	info, err := l.f.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", l.path, err)
	}
	at, err := l.f.Seek(0, io.SeekCurrent)
	if err == nil && at > info.Size() {
		l.rest = nil
		_, err = l.f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("read %s from its beginning: %w", l.path, err)
	}
	return nil
}

// split returns the finished lines, and pieces of a line that is too long to wait for.
func (l *File) split(b []byte) (lines []string) {
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		switch {
		case i >= 0:
			lines, l.rest = append(lines, string(l.rest[:i])), l.rest[i+1:]
		case len(l.rest) > maxLine:
			lines, l.rest = append(lines, string(l.rest)), nil
		default:
			return lines
		}
	}
}

// replaced reports whether the path now names another file.
func (l *File) replaced() bool {
	mine, err := l.f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(l.path)
	return err == nil && !os.SameFile(mine, now)
}

// back seeks to the beginning of the last most lines of a file. It seeks to the beginning of the
// file if there are fewer, or if most is negative. It returns the number of lines from there.
func back(f *os.File, most int) (found int, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, block)
	for at := size; at > 0 && most >= 0; {
		part := buf[:min(at, block)]
		at -= int64(len(part))
		if _, err := f.ReadAt(part, at); err != nil {
			return 0, err
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] != '\n' || at+int64(i) == size-1 {
				continue // the end of the last line begins no line
			}
			if found++; found >= most {
				_, err = f.Seek(at+int64(i)+1, io.SeekStart)
				return found, err
			}
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return found + 1, err
}

// aside returns the last lines of the renamed file, or none if there is no such file.
func aside(path string, most int) ([]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := back(f, most); err != nil {
		return nil, fmt.Errorf("find the end of %s: %w", path, err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"), nil
}
