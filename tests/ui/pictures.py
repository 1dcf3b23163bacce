"""Pictures of a screen that Xvfb keeps in a file: read, written as PNG, made small, compared."""

import struct
import zlib


class Picture:
    """Rows of RGB bytes."""

    def __init__(self, width, height, rows):
        self.width, self.height, self.rows = width, height, rows

    @staticmethod
    def from_xwd(path, width, height):
        """What `Xvfb -fbdir` writes (a header of big-endian words, a colour table, rows of BGRX): its upper left part."""
        with open(path, "rb") as file:
            data = file.read()
        head = struct.unpack(">25I", data[:100])
        start, stride = head[0] + head[19] * 12, head[12]
        width, height = min(width, head[4]), min(height, head[5])
        rows = []
        for y in range(height):
            line = data[start + y * stride:start + y * stride + width * 4]
            row = bytearray(width * 3)
            row[0::3], row[1::3], row[2::3] = line[2::4], line[1::4], line[0::4]
            rows.append(bytes(row))
        return Picture(width, height, rows)

    def save(self, path):
        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        body = zlib.compress(b"".join(b"\0" + row for row in self.rows), 3)
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        with open(path, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))

    def grey(self, columns, rows):
        """Mean brightness of each of columns × rows fields, 0 … 255."""
        fields = []
        for j in range(rows):
            top, bottom = j * self.height // rows, (j + 1) * self.height // rows
            lines = self.rows[top:bottom:2]
            for i in range(columns):
                left, right = i * self.width // columns * 3, (i + 1) * self.width // columns * 3
                part = b"".join(line[left:right] for line in lines)
                fields.append(sum(part) // max(1, len(part)))
        return fields

    def for_reading(self):
        """Grey, dark on light, twice as large: what OCR reads best. As a PGM file's bytes."""
        body = bytearray()
        dark = sum(self.grey(8, 8)) < 64 * 128
        turn = bytes(255 - i if dark else i for i in range(256))
        for row in self.rows:
            green = row[1::3].translate(turn)
            wide = bytearray(len(green) * 2)
            wide[0::2], wide[1::2] = green, green
            body += wide + wide
        return b"P5 %d %d 255\n" % (self.width * 2, self.height * 2) + bytes(body)

    def half(self):
        """Every second pixel of every second row: for sheets."""
        rows = []
        for row in self.rows[::2]:
            small = bytearray(len(row) // 6 * 3)
            for channel in range(3):
                small[channel::3] = row[channel::6][:len(small) // 3]
            rows.append(bytes(small))
        return Picture(self.width // 2, len(rows), rows)


def sheet(pictures, columns):
    """Pictures of one size beside and below each other."""
    width, height = pictures[0].width, pictures[0].height
    rows = []
    for first in range(0, len(pictures), columns):
        line = pictures[first:first + columns]
        for y in range(height):
            row = b"".join(picture.rows[y] for picture in line)
            rows.append(row + bytes(width * 3 * (columns - len(line))))
    return Picture(width * columns, len(rows), rows)
