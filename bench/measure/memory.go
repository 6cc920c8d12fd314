package measure

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Memory is the resident memory of a process in bytes, see proc_pid_status(5). The kernel's counts
// are delayed: each figure may differ by up to 64 pages per thread.
type Memory struct {
	All       int64 // VmRSS
	Anonymous int64 // RssAnon: heap and stacks, not shared
	File      int64 // RssFile: pages of the program read so far, which the kernel can drop
}

// MemoryOf reads the resident memory of each process. Linux only.
func MemoryOf(processes map[string]int) (map[string]Memory, error) {
	all := map[string]Memory{}
	for name, pid := range processes {
		f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return nil, fmt.Errorf("resident memory of %s: %w", name, err)
		}
		m, err := parseMemory(f)
		f.Close() //nolint:errcheck // it was only read
		if err != nil {
			return nil, fmt.Errorf("resident memory of %s: %w", name, err)
		}
		all[name] = m
	}
	return all, nil
}

func parseMemory(r io.Reader) (Memory, error) {
	var m Memory
	into := map[string]*int64{"VmRSS:": &m.All, "RssAnon:": &m.Anonymous, "RssFile:": &m.File}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 3 || into[words[0]] == nil || words[2] != "kB" {
			continue
		}
		n, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("%s %w", words[0], err)
		}
		*into[words[0]] = n << 10 // the kernel's "kB" are KiB
		delete(into, words[0])
	}
	if err := lines.Err(); err != nil {
		return Memory{}, err
	}
	if len(into) > 0 {
		return Memory{}, fmt.Errorf("the kernel did not report all of VmRSS, RssAnon and RssFile")
	}
	return m, nil
}

// Add adds the memory of another process.
func (m *Memory) Add(o Memory) {
	m.All += o.All
	m.Anonymous += o.Anonymous
	m.File += o.File
}

// Megabytes formats bytes in MB of 10^6.
func Megabytes(bytes int64) string { return strconv.FormatFloat(float64(bytes)/1e6, 'f', 1, 64) }
