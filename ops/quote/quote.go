// Package quote makes text from outside safe to print in one line of a terminal: keys, headers and
// types of records, reasons, error messages. Any producer may put control characters, line ends or
// changes of text direction into them, which move the cursor or hide what follows. The functions
// return only printable characters, in one line.
package quote

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// wordMost bounds the shown characters of an id. Ids of the shop have 36.
	wordMost = 80
	// textMost bounds the shown characters of a sentence: some lines of a terminal.
	textMost = 400
)

// Word formats an id, a key or a name. It returns the text unchanged if it is not empty and has
// only printable characters without spaces and quotes. Otherwise it returns the text in Go's
// quotes. It cuts the text after 80 characters.
func Word(s string) string {
	if s == "" {
		return `""`
	}
	return shown(s, wordMost, func(r rune) bool { return unicode.IsPrint(r) && r != ' ' && r != '"' && r != '\\' })
}

// Text formats a sentence. It returns the text unchanged if all of it is printable, otherwise in
// Go's quotes. It cuts the text after 400 characters.
func Text(s string) string {
	return shown(s, textMost, unicode.IsPrint)
}

// Full is Text without a limit, for text that readers search for a cause.
func Full(s string) string { return shown(s, len(s), unicode.IsPrint) }

// Words formats several words, separated by commas.
func Words(all []string) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = Word(s)
	}
	return strings.Join(words, ", ")
}

func shown(s string, most int, plain func(rune) bool) string {
	tail := ""
	at := 0
	for n := 0; at < len(s) && n < most; n++ { // by bytes, so that invalid UTF-8 stays unchanged
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	if at < len(s) {
		s, tail = s[:at], "…"
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return strconv.Quote(s) + tail
	}
	return s + tail
}
