package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
)

// memory is the resident memory of a process in bytes, see proc_pid_status(5). The
// kernel counts lazily: each figure may be off by up to 64 pages for each thread.
type memory struct {
	all       int64 // VmRSS
	anonymous int64 // RssAnon: heap and stacks, the process's alone
	file      int64 // RssFile: pages of the program read so far, which the kernel can drop
}

// memoryOf reads the resident memory of each service.
func memoryOf(s stack) (map[string]memory, error) {
	all := map[string]memory{}
	for name, pid := range s.pids {
		m, err := readMemory(pid)
		if err != nil {
			return nil, fmt.Errorf("resident memory of service %s: %w", name, err)
		}
		all[name] = m
	}
	return all, nil
}

func readMemory(pid int) (memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	defer f.Close()
	return parseMemory(f)
}

func parseMemory(r io.Reader) (memory, error) {
	var m memory
	into := map[string]*int64{"VmRSS:": &m.all, "RssAnon:": &m.anonymous, "RssFile:": &m.file}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 3 || into[words[0]] == nil || words[2] != "kB" {
			continue
		}
		n, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return memory{}, fmt.Errorf("%s %w", words[0], err)
		}
		*into[words[0]] = n << 10 // what the kernel calls kB are KiB
		delete(into, words[0])
	}
	if err := lines.Err(); err != nil {
		return memory{}, err
	}
	if len(into) > 0 {
		return memory{}, fmt.Errorf("the kernel did not tell all of VmRSS, RssAnon and RssFile")
	}
	return m, nil
}

func reportMemory(out io.Writer, before, after map[string]memory) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nresident memory, MB\tbefore\tafter\tof it heap and stacks\tprogram\t")
	var sumBefore, sumAfter memory
	for _, name := range services() {
		b, a := before[name], after[name]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t\n", name, mb(b.all), mb(a.all), mb(a.anonymous), mb(a.file))
		sumBefore.add(b)
		sumAfter.add(a)
	}
	fmt.Fprintf(w, "sum\t%s\t%s\t%s\t%s\t\n", mb(sumBefore.all), mb(sumAfter.all), mb(sumAfter.anonymous), mb(sumAfter.file))
	w.Flush()
}

func (m *memory) add(o memory) {
	m.all += o.all
	m.anonymous += o.anonymous
	m.file += o.file
}

// mb writes bytes as MB of 10^6.
func mb(bytes int64) string { return strconv.FormatFloat(float64(bytes)/1e6, 'f', 1, 64) }
