package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/story"
)

const (
	// newsCause and newsShort are the columns of the cause in the lines of --follow, with the type
	// of the causing event and without.
	newsCause, newsShort = 24, 6
	// newsHanging is the indent of continuation lines, as in tables.
	newsHanging = 4
)

// newsOf returns the line of a new event, in the columns of the table above it as far as they are
// known before the next event. A note that does not fit stands below. A cause whose type does not
// fit is shown by its number only.
func newsOf(e story.Event, all []story.Event, width int) string {
	began := all[0].At
	head := newsHead(eventRow(e, began, true), newsCause)
	if !causesFit(all) || utf8.RuneCountInString(head) > width {
		head = newsHead(eventRow(e, began, false), newsShort)
	}
	row := eventRow(e, began, false)
	lines := []string{head}
	if utf8.RuneCountInString(head) > width {
		lines = hang(strings.Join(strings.Fields(head), " "), width)
	}
	switch text := row[6]; {
	case text == "":
	case len(lines) == 1 && utf8.RuneCountInString(head+"  "+text) <= width:
		lines[0] += "  " + text
	default:
		for _, l := range term.Wrap(text, width-newsHanging) {
			lines = append(lines, strings.Repeat(" ", newsHanging)+l)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// newsHead returns the line up to the note.
func newsHead(row []string, cause int) string {
	return fmt.Sprintf("%-3s %s  %-10s %-26s %-*s %8s", row[0], row[1], row[2], row[3], cause, row[4], row[5])
}

// hang wraps a text and indents the second and further lines.
func hang(text string, width int) []string {
	first := term.Wrap(text, width)[0]
	lines := []string{first}
	if rest := strings.TrimPrefix(strings.TrimPrefix(text, first), " "); rest != "" {
		for _, l := range term.Wrap(rest, width-newsHanging) {
			lines = append(lines, strings.Repeat(" ", newsHanging)+l)
		}
	}
	return lines
}
