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
	// parallel bounds how many files are held and read at once in this process.
	parallel = 4
	// maxReading bounds the reading of one file of others' making.
	maxReading = 15 * time.Second
)

var reading = make(chan struct{}, parallel)

// File is a file that can be fetched.
type File struct {
	Name string // as others named it; its ending tells the type where Type does not
	Type string // media type, with its parameters
	Size int64  // bytes, as others say
	// Fetch returns all bytes, an error if there are more than max, and the charset
	// if one is known.
	Fetch func(ctx context.Context, max int64) (b []byte, charset string, err error)
}

// Text reads a file's text. incomplete says what is missing, also if it is all.
// Errors are those of Fetch and of the context.
func Text(ctx context.Context, f File) (text, incomplete string, err error) {
	mediaType, params := typeOf(f)
	max := int64(maxPlain)
	switch {
	case office.Reads(mediaType):
		max = office.MaxFile
	case mediaType == pdf.MediaType:
		max = pdf.MaxFile
	case !plain(mediaType):
		return "", "Files of this type have no text here; the person can download it.", nil
	}
	if f.Size > max {
		return "", fmt.Sprintf("The file is larger than the %d MB that are read here; the person can download it.", max>>20), nil
	}
	select { // each holds a file in memory
	case reading <- struct{}{}:
		defer func() { <-reading }()
	case <-ctx.Done():
		return "", "", ctx.Err()
	}
	b, charset, err := f.Fetch(ctx, max)
	if err != nil {
		return "", "", err
	}
	if mediaType == pdf.MediaType {
		return pages(ctx, b)
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

// letters reads the text of an Office file.
func letters(ctx context.Context, mediaType string, b []byte) (text, incomplete string, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxReading)
	defer cancel()
	text, cut, err := office.Text(ctx, mediaType, b, office.Default)
	switch {
	case errors.Is(err, office.ErrTooLarge):
		incomplete = "The file unpacks to more than what is read here; the person can download it."
	case errors.Is(err, office.ErrUnreadable):
		return "", "The file is damaged, encrypted or not what it says it is; the person can download it.", nil
	case err != nil:
		return "", "", err
	case cut:
		incomplete = "The file has more text than what is read here; the person can download it."
	case strings.TrimSpace(text) == "":
		incomplete = "There is no text in the file: perhaps it is made of pictures. The person can download it."
	}
	return text, incomplete, nil
}

// pages reads the text of a PDF file.
func pages(ctx context.Context, b []byte) (text, incomplete string, err error) {
	text, cut, err := pdf.Text(ctx, b, pdf.Default)
	switch {
	case errors.Is(err, pdf.ErrEncrypted):
		return "", "The file opens with a password only; the person can download it.", nil
	case errors.Is(err, pdf.ErrSlow):
		return "", "The file takes too long to read; the person can download it.", nil
	case errors.Is(err, pdf.ErrUnreadable):
		return "", "The file is damaged or not the PDF that it says it is; the person can download it.", nil
	case err != nil:
		return "", "", err
	case cut:
		incomplete = "The file has more than what is read here, or a part of it cannot be read; the person can download it."
	case strings.TrimSpace(text) == "":
		incomplete = "There is no text in the file: perhaps it is made of pictures. The person can download it."
	}
	return text, incomplete, nil
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
