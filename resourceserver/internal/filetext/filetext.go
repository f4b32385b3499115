package filetext

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"path"
	"strings"
	"time"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/office"
	"latchkey/resourceserver/internal/pdf"
)

const (
	// maxPlain is the most of a text file that is read, in bytes.
	maxPlain = 4 << 20
	// maxReading bounds the reading of one file of others' making.
	maxReading = 15 * time.Second
)

// File is a file that can be fetched.
type File struct {
	Name string // as others named it; its ending tells the type where Type does not
	Type string // media type, with its parameters
	Size int64  // bytes, as others say
	// Fetch returns all bytes, an error if there are more than max, and the charset
	// if one is known.
	Fetch func(ctx context.Context, max int64) (b []byte, charset string, err error)
}

// byLink is what a person can do about a file that is not read here: the tools give
// a link to every file.
const byLink = " The person can open it with the download link."

// Text reads a file's text for the person of the running call, when there is a place
// for it. incomplete says what is missing, also if it is all. Errors are those of
// Fetch and of the context, and a *tool.Error if there is no place.
func (r *Reader) Text(ctx context.Context, f File) (text, incomplete string, err error) {
	mediaType, params := typeOf(f)
	max, kind := int64(maxPlain), r.others
	switch {
	case office.Reads(mediaType):
		max = office.MaxFile
	case mediaType == pdf.MediaType:
		max, kind = pdf.MaxFile, r.pdf
	case !plain(mediaType):
		return "", "Files of this type have no text here." + byLink, nil
	}
	if f.Size > max {
		return "", fmt.Sprintf("The file is larger than the %d MB that are read here.", max>>20) + byLink, nil
	}
	leave, err := r.take(ctx, kind)
	if err != nil {
		return "", "", err
	}
	defer leave()
	b, charset, err := f.Fetch(ctx, max)
	if err != nil {
		return "", "", err
	}
	if mediaType == pdf.MediaType {
		return pages(pdf.Text(ctx, b, pdf.Default))
	}
	if office.Reads(mediaType) {
		return letters(ctx, mediaType, b)
	}
	if params["charset"] != "" {
		charset = params["charset"]
	}
	return decode(b, mediaType, charset), "", nil
}

// endings are those of files that mail programs send without their type.
var endings = map[string]string{
	".pdf": pdf.MediaType, ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

// typeOf is a file's type. A reader refuses what is not of its type, so an ending
// that lies does no harm.
func typeOf(f File) (string, map[string]string) {
	mediaType, params, err := mime.ParseMediaType(f.Type)
	if err != nil {
		mediaType = f.Type
	}
	if by := endings[strings.ToLower(path.Ext(f.Name))]; by != "" && (mediaType == "application/octet-stream" || mediaType == "") {
		mediaType = by
	}
	return mediaType, params
}

// What is said of files of every kind.
const (
	noText  = "There is no text in the file: perhaps its pages are pictures, as a scan's are." + byLink
	tooSlow = "Reading the file takes longer than the time that a file has here." + byLink
	damaged = "The file is damaged, or not what it says it is." + byLink + " If it does not open there either, whoever made it has to send it again."
)

// letters reads the text of an Office file.
func letters(ctx context.Context, mediaType string, b []byte) (text, incomplete string, err error) {
	within, cancel := context.WithTimeout(ctx, maxReading)
	defer cancel()
	text, cut, err := office.Text(within, mediaType, b, office.Default)
	switch {
	case ctx.Err() != nil:
		return "", "", ctx.Err()
	case within.Err() != nil:
		return "", tooSlow, nil
	case errors.Is(err, office.ErrTooLarge):
		incomplete = "The file unpacks to more than what is read here." + byLink
	case errors.Is(err, office.ErrUnreadable): // Office packs a file with a password into another format
		return "", "The file is protected with a password, damaged, or not what it says it is." + byLink, nil
	case err != nil:
		return "", "", err
	case cut:
		incomplete = "The file has more text than what is read here." + byLink
	case strings.TrimSpace(text) == "":
		incomplete = noText
	}
	return text, incomplete, nil
}

// pages is what is said of a PDF file of which package pdf says this.
func pages(text string, cut bool, err error) (string, string, error) {
	switch {
	case errors.Is(err, pdf.ErrEncrypted):
		return "", "The file is protected with a password, so its text is not read here." + byLink, nil
	case errors.Is(err, pdf.ErrSlow):
		return "", tooSlow, nil
	case errors.Is(err, pdf.ErrTooComplex):
		return "", "Reading the file takes more memory than a file has here." + byLink, nil
	case errors.Is(err, pdf.ErrUnreadable):
		return "", damaged, nil
	case err != nil:
		return "", "", unavailable(err)
	case cut:
		return text, "The file has more text than what is read here, or a part of it cannot be read." + byLink, nil
	case strings.TrimSpace(text) == "":
		return text, noText, nil
	}
	return text, "", nil
}

// plain reports whether bytes of a type are text.
func plain(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/xml", "application/yaml", "application/ics", "application/x-yaml", "application/javascript", "application/sql", "application/toml", "application/x-sh":
		return true
	}
	return strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "+json") || strings.HasSuffix(mediaType, "+xml")
}

// decode reads bytes in the charset that they begin with (a byte order mark), that
// they are said to have, or that they look like.
func decode(b []byte, mediaType, charset string) string {
	switch {
	case len(b) >= 2 && b[0] == 0xff && b[1] == 0xfe:
		charset = "utf-16le"
	case len(b) >= 2 && b[0] == 0xfe && b[1] == 0xff:
		charset = "utf-16be"
	case charset == "":
		charset = "windows-1252" // and as it is, if it is UTF-8
	}
	text := content.Decode(b, charset)
	if mediaType == "text/html" {
		text, _ = content.HTML(text)
		return text
	}
	return content.Clean(strings.ReplaceAll(text, "\r\n", "\n"))
}
