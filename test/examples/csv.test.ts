// CSV parsing and number cells of the records.

import { expect } from 'chai';
import { numbers, parseCsv } from '../../examples/csv';

describe('examples: csv', () => {
  it('reads a header, rows and empty cells', () => {
    const table = parseCsv('\uFEFFday,mm\r\nmonday,1.5\r\ntuesday,\r\nwednesday,-2e1\r\n');
    expect(table.header).to.deep.equal(['day', 'mm']);
    expect(table.rows).to.deep.equal([
      ['monday', '1.5'],
      ['tuesday', ''],
      ['wednesday', '-2e1'],
    ]);
    expect(Array.from(numbers(table, 'mm'))).to.deep.equal([1.5, Number.NaN, -20]);
  });

  it('reads a header alone', () => {
    expect(parseCsv('a,b\n')).to.deep.equal({ header: ['a', 'b'], rows: [] });
  });

  it('names the line that it cannot read', () => {
    expect(() => parseCsv('a,b\n1,2\n3\n')).to.throw('csv: line 3: expected 2 cells, but got 1');
    expect(() => parseCsv('a,b\n"1",2\n')).to.throw('csv: line 2: quoted cells are not supported');
    expect(() => parseCsv('a,b\n\n1,2\n')).to.throw('csv: line 2: expected 2 cells, but got 1');
    expect(() => numbers(parseCsv('a\n1\nx\n'), 'a')).to.throw('csv: line 3: "x" is not a number');
    expect(() => numbers(parseCsv('a\n1\n'), 'b')).to.throw('csv: no column "b" among a');
  });
});
