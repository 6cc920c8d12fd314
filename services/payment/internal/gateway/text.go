package gateway

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxText bounds what is kept of the gateway's words, in bytes.
	maxText = 500
	// maxID bounds an id of the gateway, in bytes; its own have a dozen.
	maxID = 128
)

// Tidy makes a foreign server's words fit for a text column, an event and a log: valid
// UTF-8 on one line, without NUL and other control characters, of a few hundred bytes.
func Tidy(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// isID tells whether text can be kept and shown as an id. It is never made to fit: a
// changed id names something else.
func isID(text string) bool {
	if text == "" || len(text) > maxID {
		return false
	}
	for _, r := range text {
		// JSON that was no UTF-8 has been read as RuneError.
		if r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// isCurrency tells whether text has the form of an ISO 4217 code.
func isCurrency(text string) bool {
	if len(text) != 3 {
		return false
	}
	for _, b := range []byte(text) {
		if b < 'A' || b > 'Z' {
			return false
		}
	}
	return true
}
